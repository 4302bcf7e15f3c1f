import assert from 'node:assert/strict';
import { request } from 'undici';
import { suite } from 'uvu';
import { aTask, atService, type ServiceUnderTest, until } from './at-service.js';

const test = suite('the attempts of a task');
let service: ServiceUnderTest;
const SLOTS = 8;

test.before(async () => {
  service = await atService(`
queues: {small: {concurrency: ${SLOTS}, timeout: 120}}
gateway: {backoff_base_ms: 5, backoff_max_ms: 20, pause_max_ms: 200}
models: {"gemma3:4b": {context_window: 4000, max_output_tokens: 1000}}`);
});
test.before.each(() => service.knobs({}));
test.after(() => service.close());

test("the specification's request is answered in the specification's shape", async () => {
  const task = {
    task_id: 'task-123',
    description: 'Create fibonacci function',
    domain: 'code-general',
    tier: 'small',
    context: '...',
  };
  const { status, body } = await service.execute(task);
  assert.equal(status, 200);
  assert.deepEqual([body.task_id, body.status], ['task-123', 'completed']);
  assert.match(body.artifact_id, /\S/);
  assert.match(body.output.content, /\S/);
  assert.ok(Number.isInteger(body.tokens_used) && body.tokens_used > 0);
});

for (const invalidOutput of ['trailing_comma', 'chatter_around'] as const) {
  test(`${invalidOutput} is corrected in one attempt, and a note says so`, async () => {
    await service.knobs({ invalidOutput });
    const { status, body } = await service.execute(aTask());
    assert.deepEqual([status, body.attempts], [200, 1]);
    assert.ok(body.notes?.length > 0, JSON.stringify(body.notes));
  });
}

test('the gateway never sees the call of a repair beside the one that was cut off', async () => {
  const output = `{"content": "x", "summary": 5, "rest": "${'y '.repeat(2000)}"}`;
  await service.knobs({ tokensPerSecond: 2000, output });
  await service.resetStats();
  const answers = await Promise.all(Array.from({ length: 100 }, () => service.execute(aTask())));
  for (const { body } of answers) assert.equal(body.code, 'output_invalid');
  const { calls, maxOpen, clientClosedCalls } = await service.stats();
  assert.deepEqual([calls, maxOpen, clientClosedCalls.length], [200, SLOTS, 200]);
});

test('a repair tells the model what was wrong; a retry asks the same again', async () => {
  await service.knobs({ script: [{ status: 500 }, { output: '{"content": "x", "summary": 5}' }] });
  const task = aTask();
  const { status, body } = await service.execute(task);
  assert.deepEqual([status, body.attempts], [200, 3]);
  const receipt = (await service.ask('GET', `/tasks/${task.task_id}/receipt`)).body;
  assert.deepEqual(
    receipt.attempts.map(({ kind, ended }: { kind: string; ended: string }) => [kind, ended]),
    [
      ['first', 'rejected'],
      ['retry', 'aborted'],
      ['repair', 'finished'],
    ],
  );
  assert.equal(receipt.attempts[1].repair, 'wrong_shape');
  const sent = (await service.stats()).requests
    .filter(({ headers }) => headers['x-task-id'] === task.task_id)
    .map(({ body }) => JSON.stringify(body.messages));
  assert.equal(sent.length, 3);
  assert.equal(sent[1], sent[0]);
  assert.match(sent[2]!, /summary/);
  assert.ok(sent[2]!.length > sent[0]!.length);
});

test('an answer cut off by the limit is asked for again with a higher limit', async () => {
  await service.knobs({ script: [{ invalidOutput: 'truncated_json', finishReason: 'length' }] });
  const task = aTask();
  assert.equal((await service.execute(task)).status, 200);
  const { attempts } = (await service.ask('GET', `/tasks/${task.task_id}/receipt`)).body;
  assert.equal(attempts[0].finish_reason, 'length');
  assert.ok(attempts[1].max_output_tokens > attempts[0].max_output_tokens);
});

/** A task that leaves about 180 tokens of its tier's window, beside an output of 1,000. */
const aLongTask = () =>
  aTask({ tier: 'tiny', context: '', context_mode: 'provided', description: 'word '.repeat(1760) });

test('a context of the caller that does not fit is cut, and a note says so', async () => {
  const context = 'The queue holds what waits for a slot. '.repeat(1000);
  const { status, body } = await service.execute(aTask({ tier: 'tiny', context }));
  assert.equal(status, 200);
  const [note] = body.notes.filter(({ code }: { code: string }) => code === 'context_cut');
  assert.match(note.message, new RegExp(`${body.context_tokens} tokens of context were used`));
  const whole = await service.execute(aTask({ tier: 'tiny', context: context.slice(0, 400) }));
  assert.deepEqual([whole.status, whole.body.notes], [200, undefined]);
});

test('a repair that has no room in the window is none: the output is invalid, and not the task too long', async () => {
  await service.knobs({ output: `{"content": "${'word '.repeat(300)}", "summary": 5}` });
  const { status, body } = await service.execute(aLongTask());
  assert.deepEqual([status, body.code, body.attempts], [502, 'output_invalid', 1], JSON.stringify(body));
  assert.equal(body.errors[0].path, '/summary');
});

test('a higher limit is no higher than the window has room for', async () => {
  await service.knobs({
    omitUsage: true,
    script: [{ invalidOutput: 'truncated_json', finishReason: 'length' }],
  });
  const task = aLongTask();
  const { status, body } = await service.execute(task);
  assert.equal(status, 200, JSON.stringify(body));
  const { attempts } = (await service.ask('GET', `/tasks/${task.task_id}/receipt`)).body;
  const { max_output_tokens, tokens } = attempts[1];
  assert.ok(max_output_tokens > 1000, String(max_output_tokens));
  assert.ok(tokens.prompt + max_output_tokens <= 4000, JSON.stringify(attempts[1]));
});

test('Retry-After is waited for', async () => {
  await service.knobs({ script: [{ status: 429, retryAfterSeconds: 1 }] });
  const at = performance.now();
  assert.equal((await service.execute(aTask())).body.attempts, 2);
  assert.ok(performance.now() - at >= 990);
});

test('a Retry-After beyond the deadline is handed to the caller at once', async () => {
  await service.knobs({ status: 429, retryAfterSeconds: 3600 });
  const { status, body, headers } = await service.execute(aTask());
  assert.deepEqual([status, body.code, body.attempts, body.retryable], [503, 'gateway_unavailable', 1, true]);
  assert.equal(headers['retry-after'], '3600');
});

test('a failure that may pass is not final: the same task runs again', async () => {
  await service.knobs({ status: 503 });
  const task = aTask();
  assert.equal((await service.execute(task)).status, 503);
  await service.knobs({});
  assert.equal((await service.execute(task)).status, 200);
});

test('an answer of half the text is never taken for the whole, however it was cut', async () => {
  for (const cutKind of ['rst', 'fin', 'clean_end', 'broken_chunk'] as const) {
    for (const cutAfterChunks of [0, 1, 10]) {
      await service.knobs({ cutAfterChunks, cutKind });
      const { status, body } = await service.execute(aTask());
      assert.equal(status >= 500, true, `${cutKind} after ${cutAfterChunks}: ${status}`);
      assert.ok(
        ['gateway_error', 'gateway_unavailable'].includes(body.code),
        `${cutKind} ${cutAfterChunks} ${body.code}`,
      );
    }
  }
});

test('reasoning is counted, and is no part of the output', async () => {
  for (const reasoningIn of ['fields', 'think', 'unopened'] as const) {
    await service.knobs({ reasoningTokens: 50, reasoningIn, omitUsage: true });
    const task = aTask();
    const { body } = await service.execute(task);
    const { attempts } = (await service.ask('GET', `/tasks/${task.task_id}/receipt`)).body;
    assert.ok(attempts[0].reasoning_tokens > 40, reasoningIn);
    assert.equal(attempts.length, 1);
    assert.match(body.output.content, /^def fibonacci/);
  }
});

test('one of two callers may go away; the other gets the outcome of the one call', async () => {
  await service.knobs({ tokensPerSecond: 300 });
  const { calls } = await service.stats();
  const task = aTask();
  const stays = service.execute(task);
  await until(async () => (await service.stats()).open === 1, 'the call runs');
  const going = new AbortController();
  const gone = post(task, going.signal).catch(() => {});
  setTimeout(() => going.abort(), 30);
  await gone;
  assert.equal((await stays).status, 200);
  assert.equal((await service.stats()).calls, calls + 1);
});

test('a caller who hangs up and asks again at once gets a result, not the end of his first request', async () => {
  for (let round = 0; round < 20; round++) {
    await service.knobs({ script: [{ tokensPerSecond: 5 }] });
    const task = aTask();
    const going = new AbortController();
    const gone = post(task, going.signal).catch(() => {});
    await until(async () => (await service.stats()).open === 1, 'the call runs');
    going.abort();
    await gone;
    const { status, body } = await service.execute(task);
    assert.equal(status, 200, `round ${round}: ${JSON.stringify(body)}`);
  }
});

test.run();

async function post(task: object, signal: AbortSignal): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify(task);
  const answer = await request(`${service.url}/execute`, { method: 'POST', headers, body, signal });
  await answer.body.dump();
}
