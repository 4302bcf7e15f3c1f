import assert from 'node:assert/strict';
import { request } from 'undici';
import { suite } from 'uvu';
import { aTask, atService, deltasOf, eventsOf, type ServiceUnderTest, sleep, until } from './at-service.js';

const test = suite('a gateway that misbehaves');
let service: ServiceUnderTest;
const events = { accept: 'text/event-stream' };

test.before(async () => {
  service = await atService('gateway: {backoff_base_ms: 5, backoff_max_ms: 20, idle_timeout_ms: 1000}');
});
test.after(() => service.close());

const survived: [name: string, knobs: object, attempts: number][] = [
  ['500 at first', { script: [{ status: 500 }] }, 2],
  ['429 with Retry-After', { script: [{ status: 429, retryAfterSeconds: 1 }] }, 2],
  ['a reset connection', { script: [{ cutAfterChunks: 3, cutKind: 'rst' }] }, 2],
  ['a closed connection', { script: [{ cutAfterChunks: 3, cutKind: 'fin' }] }, 2],
  ['a stream that ends cleanly half-way', { script: [{ cutAfterChunks: 3, cutKind: 'clean_end' }] }, 2],
  ['a broken chunk', { script: [{ cutAfterChunks: 3, cutKind: 'broken_chunk' }] }, 2],
  ['an error in a 200 stream', { script: [{ errorInStreamAfterChunks: 2 }] }, 2],
  ['silence', { script: [{ stallAfterChunks: 2 }] }, 2],
  ['an output of the wrong shape', { script: [{ invalidOutput: 'wrong_shape' }] }, 2],
  ['an empty answer', { script: [{ invalidOutput: 'empty' }] }, 2],
  [
    'an answer cut off by the limit',
    { script: [{ invalidOutput: 'truncated_json', finishReason: 'length' }] },
    2,
  ],
  ['a trailing comma', { invalidOutput: 'trailing_comma' }, 1],
  ['chatter', { invalidOutput: 'chatter_around' }, 1],
  ['a fence', { invalidOutput: 'fenced' }, 1],
  ['CRLF and comments', { crlf: true, comments: true }, 1],
  ['bytes one by one', { splitBytes: 1, chunks: 5 }, 1],
  ['no usage', { omitUsage: true }, 1],
  ['no [DONE]', { omitDone: true }, 1],
  ['no [DONE] and no finish reason', { omitDone: true, omitFinishReason: true }, 1],
  ['reasoning', { reasoningTokens: 50 }, 1],
  ['empty deltas and unknown fields', { emptyDeltas: 2, extraFields: true }, 1],
  ['a wrong content type', { wrongContentType: true }, 1],
  ['connections that are not kept', { closeConnection: true }, 1],
];
for (const [name, knobs, attempts] of survived) {
  test(`a task survives: ${name}`, async () => {
    await service.knobs(knobs);
    const task = aTask();
    const { status, body, text } = await service.execute(task);
    assert.equal(status, 200, text);
    assert.match(body.output.content, /def fibonacci/);
    assert.equal(body.attempts, attempts);
    const receipt = await service.ask('GET', `/tasks/${task.task_id}/receipt`);
    const spent = receipt.body.attempts.map(
      ({ tokens }: { tokens: { prompt: number; completion: number } }) => tokens.prompt + tokens.completion,
    );
    assert.equal(
      body.tokens_used,
      spent.reduce((a: number, b: number) => a + b, 0),
    );
  });
}

const ended: [name: string, knobs: object, status: number, code: string][] = [
  ['a stream that always breaks', { cutAfterChunks: 3 }, 502, 'gateway_error'],
  ['503 without end', { status: 503 }, 503, 'gateway_unavailable'],
  ['a request the gateway does not like', { status: 400 }, 502, 'gateway_error'],
  ['the wrong shape twice', { invalidOutput: 'wrong_shape' }, 502, 'output_invalid'],
  ['no answer twice', { invalidOutput: 'empty' }, 502, 'output_invalid'],
  [
    'no finish reason, no [DONE], and no JSON that would be complete',
    { output: 'def f(): pass', omitDone: true, omitFinishReason: true },
    502,
    'gateway_error',
  ],
];
for (const [name, knobs, status, code] of ended) {
  test(`a task ends with ${code}: ${name}`, async () => {
    await service.knobs(knobs);
    const answer = await service.execute(aTask());
    assert.deepEqual([answer.status, answer.body.code], [status, code]);
    assert.match(String(answer.headers['content-type']), /application\/problem\+json/);
  });
}

for (const [name, knobs, detail] of [
  ['a closed connection', { cutAfterChunks: 3, cutKind: 'fin' }, /^the stream of the gateway broke off: /],
  ['silence', { stallAfterChunks: 2 }, /^the stream of the gateway fell silent$/],
] as const) {
  test(`a failure says of the gateway's stream what became of it: ${name}`, async () => {
    await service.knobs(knobs);
    const { body } = await service.execute(aTask());
    assert.equal(body.code, 'gateway_error');
    assert.match(body.detail, detail);
  });
}

test('usage absent: our own count is exact and says so', async () => {
  await service.knobs({ omitUsage: true });
  const { body } = await service.execute(aTask());
  assert.deepEqual([body.tokens.counted_by, body.tokens.method], ['tokenizer', 'exact']);
  assert.ok(body.tokens.completion > 50);
});

test('connections are kept between calls', async () => {
  await service.knobs({});
  const before = (await service.stats()).connections.opened;
  for (let i = 0; i < 5; i++) await service.execute(aTask());
  assert.ok((await service.stats()).connections.opened - before <= 1);
});

test('deltas joined are the content, and the last event is the outcome', async () => {
  await service.knobs({ tokensPerSecond: 2000 });
  const { text } = await service.execute(aTask(), events);
  const all = eventsOf(text);
  const last = all.at(-1)!;
  assert.deepEqual([all[0]!.event, last.event], ['started', 'completed']);
  assert.equal(deltasOf(all), last.data.output.content);
});

test('a caller who saw deltas of a stream that broke gets a reset, then the whole', async () => {
  await service.knobs({ tokensPerSecond: 500, script: [{ tokensPerSecond: 500, cutAfterChunks: 12 }] });
  const { text } = await service.execute(aTask(), events);
  const all = eventsOf(text);
  const reset = all.findIndex(({ event }) => event === 'reset');
  assert.deepEqual(all[reset]!.data, { reason: 'gateway_error', attempt: 2 });
  assert.ok(deltasOf(all.slice(0, reset)).length > 0);
  assert.equal(deltasOf(all.slice(reset)), all.at(-1)!.data.output.content);
});

test('a caller who saw thoughts gets a reset when they end, and the attempt goes on', async () => {
  await service.knobs({ tokensPerSecond: 500, reasoningTokens: 100, reasoningIn: 'unopened' });
  const all = eventsOf((await service.execute(aTask(), events)).text);
  const reset = all.findIndex(({ event }) => event === 'reset');
  assert.deepEqual(all[reset]!.data, { reason: 'reasoning', attempt: 1 });
  assert.match(deltasOf(all.slice(0, reset)), /Let me think/);
  const { data } = all.at(-1)!;
  assert.deepEqual([deltasOf(all.slice(reset)), data.attempts], [data.output.content, 1]);
});

test('a stream that always breaks ends in failed, never in a clean end', async () => {
  await service.knobs({ tokensPerSecond: 500, cutAfterChunks: 12 });
  const all = eventsOf((await service.execute(aTask(), events)).text);
  assert.deepEqual([all.at(-1)!.event, all.at(-1)!.data.code], ['failed', 'gateway_error']);
});

test('a second reader sees the running stream from its beginning', async () => {
  await service.knobs({ tokensPerSecond: 300 });
  const before = (await service.stats()).calls;
  const task = aTask();
  const first = service.execute(task, events);
  await sleep(150);
  const second = await service.execute(task, events);
  assert.equal(deltasOf(eventsOf(second.text)), deltasOf(eventsOf((await first).text)));
  assert.equal((await service.stats()).calls, before + 1);
});

test('a caller who goes away ends the model call within 100 ms, and may come again', async () => {
  // What a busy machine takes comes on top: one of several is enough.
  const took: number[] = [];
  while (took.length < 10 && !took.some((ms) => ms < 100)) took.push(await abortedAfter(aTask()));
  assert.ok(
    took.some((ms) => ms < 100),
    `${took} ms`,
  );
  const task = aTask();
  await abortedAfter(task);
  await until(
    async () => (await service.ask('GET', `/tasks/${task.task_id}`)).body.status === 'failed',
    'it ended',
  );
  assert.equal((await service.execute(task)).status, 200);
});

/** Milliseconds from the moment in which the caller goes away until the gateway sees its connection closed. */
async function abortedAfter(task: { task_id: string }): Promise<number> {
  await service.knobs({ tokensPerSecond: 20 });
  const controller = new AbortController();
  const options = {
    method: 'POST' as const,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(task),
    signal: controller.signal,
  };
  const gone = request(`${service.url}/execute`, options).catch((error: Error) => error);
  await until(async () => (await service.stats()).open === 1, 'the call runs');
  await sleep(50);
  const at = Date.now();
  controller.abort();
  await gone;
  await until(async () => (await service.stats()).open === 0, 'the call is closed');
  const closed = (await service.stats()).clientClosedCalls.find((each) => each.task === task.task_id)!;
  await service.knobs({});
  return closed.at - at;
}

test('DELETE cancels a task for good', async () => {
  await service.knobs({ tokensPerSecond: 20 });
  const task = aTask();
  const running = service.execute(task);
  await until(async () => (await service.stats()).open === 1, 'the call runs');
  assert.equal((await service.ask('DELETE', `/tasks/${task.task_id}`)).status, 202);
  const { status, body } = await running;
  assert.deepEqual([status, body.code, body.retryable], [409, 'cancelled', false]);
  assert.equal((await service.execute(task)).body.code, 'cancelled');
});

test.run();
