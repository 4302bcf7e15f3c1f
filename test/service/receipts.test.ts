import assert from 'node:assert/strict';
import { request } from 'undici';
import { suite } from 'uvu';
import type { Attempt, Completed, Receipt } from '../../contracts/outcome.js';
import { aTask, atService, type ServiceUnderTest } from './at-service.js';

const test = suite('receipts');
let service: ServiceUnderTest;

test.before(async () => {
  service = await atService(`
gateway: {backoff_base_ms: 5, backoff_max_ms: 20}
tier_models:
  small: {model: gemma3:12b, endpoint: ollama_gpu_general}
  tiny: {model: google/gemma-3-4b-it, endpoint: ollama_gpu_general, escalate_to: small}
  claude: {model: anthropic/claude-x, endpoint: ollama_gpu_general}
  other: {model: mistral-small, endpoint: ollama_gpu_general}
workers: {ui-design: {default_tier: small}, code-vision: {default_tier: small}, code-embedded: {default_tier: small}, documentation: {default_tier: small}}
`);
});
test.after(() => service.close());

const receiptOf = async (taskId: string): Promise<Receipt> =>
  (await service.ask('GET', `/tasks/${taskId}/receipt`)).body;

/** What an attempt says beside its times, which must be in their order. */
function withoutTimes(attempt: Attempt): Partial<Attempt> {
  const { started_at, headers_ms, first_token_ms, duration_ms, ...others } = attempt;
  const times = [0, headers_ms ?? 0, first_token_ms ?? 0, duration_ms];
  assert.deepEqual(
    times,
    [...times].sort((a, b) => a - b),
  );
  assert.match(started_at, /^\d{4}-\d\d-\d\dT.*Z$/);
  return others;
}

const sumOf = (numbers: readonly number[]) => numbers.reduce((sum, number) => sum + number, 0);

test('of each attempt: what became of it, what it used, and how long it took', async () => {
  const answer = { ttftMs: 60, tokensPerSecond: 2000, omitUsage: true, reasoningTokens: 50 };
  await service.knobs({
    script: [{ status: 500, ttftMs: 20 }, { ttftMs: 20, cutAfterChunks: 3, cutKind: 'fin' }, answer],
  });
  const task = aTask();
  const outcome: Required<Completed> = (await service.execute(task)).body;
  const { attempts, ...receipt } = await receiptOf(task.task_id);
  const [rejected, broken, finished] = attempts as [Attempt, Attempt, Attempt];
  const common = {
    tier: 'small',
    model: 'gemma3:12b',
    endpoint: 'ollama_gpu_general',
    max_output_tokens: 9830,
  };
  const counted = { counted_by: 'tokenizer', method: 'exact' } as const;
  const { prompt } = finished.tokens;
  assert.deepEqual(withoutTimes(rejected), {
    number: 1,
    ...common,
    kind: 'first',
    tokens: { prompt: 0, completion: 0, ...counted },
    ended: 'rejected',
    error: 'the gateway answered 500: The simulator answers 500.',
  });
  const { error, tokens, ...brokenOnly } = withoutTimes(broken);
  assert.deepEqual(brokenOnly, { number: 2, ...common, kind: 'retry', ended: 'broken' });
  assert.match(error!, /\S/);
  assert.deepEqual(tokens, { prompt, completion: tokens!.completion, ...counted });
  assert.ok(tokens!.completion > 0 && tokens!.completion < 50);
  assert.deepEqual(withoutTimes(finished), {
    number: 3,
    ...common,
    kind: 'retry',
    tokens: outcome.tokens,
    reasoning_tokens: finished.reasoning_tokens,
    finish_reason: 'stop',
    ended: 'finished',
  });
  assert.deepEqual([rejected.headers_ms, rejected.first_token_ms], [undefined, undefined]);
  assert.ok(finished.headers_ms! >= 55 && finished.first_token_ms! >= finished.headers_ms!);
  assert.ok(finished.reasoning_tokens! >= 50 && finished.reasoning_tokens! < finished.tokens.completion);
  // The same answer without its thoughts.
  await service.knobs({ omitUsage: true });
  const { completion } = (await service.execute(aTask())).body.tokens;
  assert.equal(finished.tokens.completion, completion + finished.reasoning_tokens!);
  const used = sumOf(attempts.map(({ tokens }) => tokens.prompt + tokens.completion));
  assert.deepEqual([receipt.tokens_used, outcome.tokens_used], [used, used]);

  // Each part of the time is one of the calls.
  const { first_token, stream, validate } = outcome.timings;
  const called = sumOf(attempts.map(({ duration_ms }) => duration_ms));
  const said = JSON.stringify([outcome.timings, attempts]);
  assert.ok(first_token >= 95 && stream > 0 && validate > 0 && first_token + stream >= 250, said);
  assert.ok(first_token + stream + validate <= called, said);
  assert.ok(called <= outcome.execution_time_ms);
});

test('a completed task has the outcome and the receipt that belong together, and nothing that is not so', async () => {
  await service.knobs({});
  const task = aTask();
  const before = Date.now();
  const outcome: Required<Completed> = (await service.execute(task)).body;
  const { attempts, request_hash, accepted_at, finished_at, template, ...receipt } = await receiptOf(
    task.task_id,
  );
  const { output, artifact_id, execution_time_ms, overhead_ms, timings, tokens, ...others } = outcome;
  assert.deepEqual(others, {
    task_id: task.task_id,
    status: 'completed',
    domain: 'code-general',
    tier: 'small',
    model: 'gemma3:12b',
    attempts: 1,
    tokens_used: tokens.prompt + tokens.completion,
    finish_reason: 'stop',
    context: 'provided',
    context_tokens: 1,
    sources: [],
  });
  assert.equal(tokens.counted_by, 'gateway');
  assert.deepEqual(receipt, {
    task_id: task.task_id,
    context: { status: 'provided', tokens: 1, sources_used: [], sources_dropped: [] },
    tokens_used: outcome.tokens_used,
    notes: [],
    outcome: { status: 'completed' },
  });
  assert.deepEqual([template!.name, attempts.length], ['workers/code_general.md', 1]);
  assert.match(template!.sha256, /^[0-9a-f]{64}$/);
  assert.match(request_hash, /^[\w-]{43}$/);
  const dates = [accepted_at, finished_at].map((text) => new Date(text));
  assert.deepEqual(
    [accepted_at, finished_at],
    dates.map((date) => date.toISOString()),
  );
  const times = [before, ...dates.map(Number), Date.now()];
  assert.deepEqual(
    times,
    [...times].sort((a, b) => a - b),
  );
  assert.ok(execution_time_ms > 0 && execution_time_ms <= times[3]! - before + 1);
});

test('a receipt names the sources of the context, or why there is none', async () => {
  await service.knobs({});
  const without = (description: string) => aTask({ context: undefined, description });
  const retrieved = without('Handle camera capture failures in OpenCV');
  const { body } = await service.execute(retrieved);
  const { context } = await receiptOf(retrieved.task_id);
  assert.ok(body.sources.length > 0);
  assert.deepEqual(context.sources_used, body.sources);
  assert.deepEqual([context.status, context.tokens], ['retrieved', body.context_tokens]);
  assert.equal('detail' in context, false);
  await service.ragKnobs({ status: 500 });
  const degraded = without('Something else');
  await service.execute(degraded);
  const { detail, ...nothing } = (await receiptOf(degraded.task_id)).context;
  assert.deepEqual(nothing, { status: 'degraded', tokens: 0, sources_used: [], sources_dropped: [] });
  assert.match(detail!, /500/);
  await service.ragKnobs({});
});

test('what was wrong with an output is told, of the one that was repaired and of the last one', async () => {
  const wrong = { output: '{"content":"x","summary":5}' };
  const errors = [{ path: '/summary', message: 'must be of type string' }];
  await service.knobs({ script: [wrong] });
  const repaired = aTask();
  assert.equal((await service.execute(repaired)).status, 200);
  assert.deepEqual(
    (await receiptOf(repaired.task_id)).attempts.map(({ errors, repair }) => [errors, repair]),
    [
      [errors, 'wrong_shape'],
      [undefined, undefined],
    ],
  );
  await service.knobs(wrong);
  const task = aTask();
  const { body } = await service.execute(task);
  assert.deepEqual([body.code, body.errors], ['output_invalid', errors]);
  assert.deepEqual(
    (await receiptOf(task.task_id)).attempts.map(({ errors }) => errors),
    [errors, errors],
  );
});

test('counts are exact where the vocabulary is the model’s own', async () => {
  await service.knobs({ omitUsage: true });
  const methodOf = async (tier: string) => (await service.execute(aTask({ tier }))).body.tokens.method;
  assert.deepEqual(
    [await methodOf('small'), await methodOf('tiny'), await methodOf('claude'), await methodOf('other')],
    ['exact', 'exact', 'approximate', 'approximate'],
  );
});

test('why a model refused is told, although a larger one took the task', async () => {
  const refusal = { reason: 'complexity', recommendation: 'needs_larger_model', message: 'beyond me' };
  await service.knobs({ script: [{ output: JSON.stringify({ status: 'refused', ...refusal }) }] });
  const task = aTask({ tier: 'tiny' });
  const { status, body } = await service.execute(task);
  assert.deepEqual([status, body.status], [200, 'completed'], JSON.stringify(body));
  const { attempts } = await receiptOf(task.task_id);
  assert.deepEqual(
    attempts.map(({ kind, refusal }) => [kind, refusal]),
    [
      ['first', refusal],
      ['escalation', undefined],
    ],
  );
});

test('a task whose last call breaks off has failed with what the receipt says of that call', async () => {
  await service.knobs({ cutAfterChunks: 3, cutKind: 'fin' });
  const task = aTask();
  const { status, body } = await service.execute(task);
  const { attempts, outcome } = await receiptOf(task.task_id);
  assert.deepEqual([status, body.code, outcome.code], [502, 'gateway_error', 'gateway_error']);
  assert.equal(attempts.at(-1)!.ended, 'broken');
  assert.match(body.detail, /\S/);
  assert.equal(body.detail, attempts.at(-1)!.error);
});

test('a call that is cancelled in the middle says so, with the tokens that had come', async () => {
  await service.knobs({ tokensPerSecond: 20 });
  const task = aTask();
  const answer = await request(`${service.url}/execute`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    body: JSON.stringify(task),
  });
  for await (const chunk of answer.body)
    if (String(chunk).includes('event: delta')) await service.ask('DELETE', `/tasks/${task.task_id}`);
  const { attempts, outcome } = await receiptOf(task.task_id);
  assert.deepEqual(
    attempts.map(({ ended, tokens }) => [ended, tokens.counted_by, tokens.prompt > 0, tokens.completion > 0]),
    [['cancelled', 'tokenizer', true, true]],
  );
  assert.equal(attempts[0]!.error, 'the call was interrupted');
  assert.deepEqual(outcome, { status: 'failed', code: 'cancelled' });
  const { body } = await service.ask('GET', `/tasks/${task.task_id}`);
  assert.deepEqual(
    [body.status, body.outcome.code, body.outcome.detail],
    ['failed', 'cancelled', 'the task was cancelled'],
  );
});

test.run();
