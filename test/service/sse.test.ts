import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { Problem } from '../../contracts/problem.js';
import { compile } from '../../contracts/validator.js';
import { aTask, atService, deltasOf, eventsOf, type ServiceUnderTest, until } from './at-service.js';

const test = suite('the event stream of a task');
const events = { accept: 'text/event-stream' };
let service: ServiceUnderTest;

test.before(async () => {
  service = await atService(`
server: {stream_keep_alive_ms: 40}
gateway: {backoff_base_ms: 5, backoff_max_ms: 20}
tier_models:
  small: {model: "gemma3:12b", endpoint: general, escalate_to: large}
  large: {model: openai/gpt-oss-20b, endpoint: big}
models: {"gemma3:12b": {context_window: 2000000, max_output_tokens: 1000000}}
`);
});
test.before.each(() => service.knobs({}));
test.after(() => service.close());

test('a refusal ends the stream in failed, with the same problem as without a stream', async () => {
  await service.knobs({ output: '{"status":"refused","reason":"complexity","message":"x"}' });
  const task = aTask();
  const answer = await service.execute(task, events);
  assert.equal(answer.headers['content-type'], 'text/event-stream');
  const last = eventsOf(answer.text).at(-1)!;
  assert.equal(last.event, 'failed');
  assert.deepEqual(compile(Problem).violations(last.data), []);
  assert.deepEqual(last.data, (await service.execute(task)).body);
});

test('a task that has ended is told by its last event alone, and costs no call', async () => {
  const task = aTask();
  const { body } = await service.execute(task);
  const { calls } = await service.stats();
  const all = eventsOf((await service.execute(task, events)).text);
  assert.deepEqual(all, [{ event: 'completed', data: body }]);
  assert.equal((await service.stats()).calls, calls);
});

test('a conflict and a request that is not valid are answered with their status, not with a stream', async () => {
  const task = aTask();
  await service.execute(task);
  const conflict = await service.execute({ ...task, description: 'Another' }, events);
  assert.deepEqual([conflict.status, conflict.body.code], [409, 'task_conflict']);
  const invalid = await service.execute(aTask({ description: '' }), events);
  assert.deepEqual([invalid.status, invalid.body.code], [400, 'invalid_request']);
});

test('a repair voids what was shown, and says which attempt comes', async () => {
  await service.knobs({
    tokensPerSecond: 1000,
    script: [{ output: '{"content": "def first(): pass", "summary": 5}', tokensPerSecond: 200 }],
  });
  const all = eventsOf((await service.execute(aTask(), events)).text);
  const reset = all.findIndex(({ event }) => event === 'reset');
  assert.deepEqual(all[reset]?.data, { reason: 'wrong_shape', attempt: 2 });
  assert.equal(deltasOf(all.slice(reset)), all.at(-1)!.data.output.content);
});

test('an escalation voids what was shown, and says which attempt comes', async () => {
  const declined = '"status": "refused", "reason": "complexity", "recommendation": "needs_larger_model"';
  await service.knobs({
    script: [{ output: `{"content": "def first(): pass", ${declined}}`, tokensPerSecond: 200 }],
  });
  const all = eventsOf((await service.execute(aTask(), events)).text);
  const reset = all.findIndex(({ event }) => event === 'reset');
  assert.ok(deltasOf(all.slice(0, reset)).length > 0);
  assert.deepEqual(all[reset]?.data, { reason: 'escalation', attempt: 2 });
  assert.equal(all.at(-1)!.data.tier, 'large');
  assert.equal(deltasOf(all.slice(reset)), all.at(-1)!.data.output.content);
});

test('DELETE ends the stream in failed with cancelled', async () => {
  await service.knobs({ tokensPerSecond: 20 });
  const task = aTask();
  const running = service.execute(task, events);
  await until(async () => (await service.stats()).open === 1, 'the call runs');
  await service.ask('DELETE', `/tasks/${task.task_id}`);
  const last = eventsOf((await running).text).at(-1)!;
  assert.deepEqual([last.event, last.data.code], ['failed', 'cancelled']);
});

test('a character outside the basic plane is never split between deltas, escaped or not', async () => {
  const emoji = '😀'.repeat(40);
  const escaped = emoji.replace(/[\ud800-\udfff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16)}`);
  for (const [what, text] of [
    ['plain', emoji],
    ['escaped', escaped],
  ]) {
    const output = `{"content": "x${text}", "artifacts": [], "summary": "s"}`;
    await service.knobs({ tokensPerSecond: 2000, chunkTokens: 0.25, output });
    const all = eventsOf((await service.execute(aTask({ domain: 'documentation' }), events)).text);
    assert.equal(all.at(-1)!.event, 'completed', JSON.stringify(all.at(-1)).slice(0, 400));
    for (const { event, data } of all)
      if (event === 'delta') assert.ok(wellFormed(data.text), `${what}: ${JSON.stringify(data)}`);
    assert.equal(deltasOf(all), all.at(-1)!.data.output.content);
  }
});

test('half of a surrogate pair is U+FFFD in deltas and output, escaped or not', async () => {
  for (const half of ['\\ud83d', '\\ude00', '\ud83d', '\ude00']) {
    const output = `{"content": "x ${half} y", "artifacts": [], "summary": "s"}`;
    await service.knobs({ tokensPerSecond: 2000, chunkTokens: 0.25, output });
    const { text } = await service.execute(aTask({ domain: 'documentation' }), events);
    const all = eventsOf(text);
    assert.equal(all.at(-1)!.data.output?.content, 'x \ufffd y', text);
    assert.equal(deltasOf(all), 'x \ufffd y');
  }
});

test('a stream that is silent says that it is still there, in comments', async () => {
  await service.knobs({ ttftMs: 300 });
  const { text } = await service.execute(aTask(), events);
  const [before] = text.split('event: delta');
  assert.ok(before!.split('\n\n').filter((frame) => frame === ': still at work').length >= 2, before);
  assert.equal(eventsOf(text).at(-1)!.event, 'completed');
});

const accepted: [accept: string, type: string][] = [
  ['text/event-stream', 'text/event-stream'],
  ['application/json, Text/Event-Stream', 'text/event-stream'],
  ['application/json;q=0.5, text/event-stream;q=0.6', 'text/event-stream'],
  ['application/json, text/event-stream;q=0.9', 'application/json'],
  ['text/event-stream; q=0', 'application/json'],
  ['text/event-stream;q=many', 'application/json'],
  ['text/event-streams', 'application/json'],
  ['*/*', 'application/json'],
];
for (const [accept, type] of accepted) {
  test(`who accepts ${accept} gets ${type}`, async () => {
    const answer = await service.execute(aTask(), { accept });
    assert.deepEqual([answer.status, answer.headers['content-type']], [200, type]);
  });
}

test('a very large delta is cut between characters', async () => {
  const output = `{"content": "x${'😀'.repeat(40_000)}", "artifacts": [], "summary": "s"}`;
  await service.knobs({ chunks: 1, output });
  const all = eventsOf((await service.execute(aTask({ domain: 'documentation' }), events)).text);
  assert.equal(all.at(-1)!.event, 'completed', JSON.stringify(all.at(-1)).slice(0, 400));
  assert.equal(deltasOf(all), all.at(-1)!.data.output.content);
  for (const { event, data } of all) if (event === 'delta') assert.ok(wellFormed(data.text));
});

test.run();

function wellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}
