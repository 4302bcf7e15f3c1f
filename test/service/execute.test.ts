import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { Receipt } from '../../contracts/outcome.js';
import { compile } from '../../contracts/validator.js';
import { domains } from '../../domains/registry.js';
import { aTask, atService, type ServiceUnderTest, until } from './at-service.js';

const test = suite('POST /execute');
let service: ServiceUnderTest;

test.before(async () => {
  service = await atService(`
tier_models:
  small: {model: gemma3:12b, endpoint: a, escalate_to: large}
  large: {model: openai/gpt-oss-20b, endpoint: b}
`);
});
test.before.each(() => service.knobs({}));
test.after(() => service.close());

test('every domain gives an output of its own schema', async () => {
  for (const [name, { output }] of domains) {
    const { status, body } = await service.execute(aTask({ domain: name }));
    assert.equal(status, 200, name);
    assert.deepEqual(compile(output).violations(body.output), []);
    assert.equal(body.simulated, undefined);
  }
});

test('the same task again is answered from the store, another body is a conflict', async () => {
  const task = aTask();
  const first = await service.execute(task);
  const calls = (await service.stats()).calls;
  assert.deepEqual((await service.execute(task)).body, first.body);
  assert.equal((await service.stats()).calls, calls);
  const other = await service.execute({ ...task, description: 'Something else' });
  assert.equal(other.status, 409);
  assert.equal(other.body.code, 'task_conflict');
});

test('a hundred requests at once with one task_id call the model once', async () => {
  await service.knobs({ ttftMs: 50 });
  const before = (await service.stats()).calls;
  const task = aTask();
  const answers = await Promise.all(Array.from({ length: 100 }, () => service.execute(task)));
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  assert.equal(new Set(answers.map(({ text }) => text)).size, 1);
  assert.equal((await service.stats()).calls, before + 1);
});

test('an outcome outlives a restart', async () => {
  const task = aTask();
  const first = await service.execute(task);
  await service.restart();
  const calls = (await service.stats()).calls;
  assert.deepEqual((await service.execute(task)).body, first.body);
  assert.equal((await service.stats()).calls, calls);
});

test('task, receipt and artifact are found, under both prefixes', async () => {
  const task = aTask();
  const { body } = await service.execute(task);
  for (const prefix of ['', '/api/v1']) {
    const status = await service.ask('GET', `${prefix}/tasks/${task.task_id}`);
    assert.deepEqual(status.body, { task_id: task.task_id, status: 'completed', outcome: body });
    const receipt = await service.ask('GET', `${prefix}/tasks/${task.task_id}/receipt`);
    assert.deepEqual(compile(Receipt).violations(receipt.body), []);
    assert.equal(receipt.body.tokens_used, body.tokens_used);
    const artifact = await service.ask('GET', `${prefix}/artifacts/${body.artifact_id}`);
    assert.deepEqual(artifact.body.output, body.output);
  }
  assert.equal((await service.ask('GET', '/tasks/unknown')).status, 404);
  assert.equal((await service.ask('GET', '/artifacts/..%2f..%2fetc')).status, 404);
});

test('an unknown domain and an unknown tier are named, and cost no call', async () => {
  const calls = (await service.stats()).calls;
  const domain = await service.execute(aTask({ domain: 'cooking' }));
  assert.deepEqual(
    [domain.status, domain.body.code, domain.body.errors[0].path],
    [422, 'unknown_domain', '/domain'],
  );
  const tier = await service.execute(aTask({ tier: 'constructor' }));
  assert.deepEqual([tier.status, tier.body.code], [422, 'unknown_tier']);
  assert.equal((await service.stats()).calls, calls);
});

test('a task that runs has no receipt yet, which is not to say that there is no such task', async () => {
  await service.knobs({ hangBeforeHeaders: true });
  const task = aTask();
  const running = service.execute(task);
  await until(async () => (await service.stats()).byTask[task.task_id] === 1, 'the call runs');
  const path = `/tasks/${task.task_id}`;
  const early = await service.ask('GET', `${path}/receipt`);
  assert.deepEqual(
    [early.status, early.body.code, early.body.detail],
    [404, 'not_found', `the task ${task.task_id} has not ended: no receipt yet`],
  );
  await service.ask('DELETE', path);
  await running;
  assert.equal((await service.ask('GET', `${path}/receipt`)).status, 200);
  const none = await service.ask('GET', '/tasks/never-heard-of/receipt');
  assert.deepEqual([none.status, none.body.detail], [404, 'there is no task never-heard-of']);
});

test('a refusal and a question back are outcomes that stand', async () => {
  await service.knobs({
    output:
      '{"status":"refused","reason":"complexity","recommendation":"needs_decomposition","message":"too much"}',
  });
  const refused = await service.execute(aTask());
  assert.equal(refused.status, 422);
  assert.deepEqual(
    [refused.body.code, refused.body.reason, refused.body.recommendation, refused.body.detail],
    ['refused', 'complexity', 'needs_decomposition', 'too much'],
  );
  await service.knobs({ output: '{"status":"needs_clarification","questions":["Which language?"]}' });
  const asked = await service.execute(aTask());
  assert.deepEqual(
    [asked.status, asked.body.code, asked.body.questions],
    [422, 'needs_clarification', ['Which language?']],
  );
});

test('a model that needs a larger one hands the task to the next tier', async () => {
  await service.knobs({
    script: [{ output: '{"status":"refused","reason":"complexity","recommendation":"needs_larger_model"}' }],
  });
  const { status, body } = await service.execute(aTask({ tier: 'small' }));
  assert.deepEqual([status, body.tier, body.model, body.attempts], [200, 'large', 'openai/gpt-oss-20b', 2]);
});

test('context is retrieved when the request brings none, and equal queries are asked once', async () => {
  const before = await service.ragCalls();
  const description = 'Handle camera capture failures in OpenCV';
  const tasks = [1, 2, 3].map(() => aTask({ context: undefined, description }));
  const answers = await Promise.all(tasks.map((task) => service.execute(task)));
  for (const { body } of answers) {
    assert.equal(body.context, 'retrieved');
    assert.ok(body.sources.length > 0 && body.context_tokens > 0);
  }
  assert.equal(await service.ragCalls(), before + 1);
});

test('a RAG service that fails leaves the task without context, and the outcome says so', async () => {
  await service.ragKnobs({ status: 500 });
  const before = await service.ragCalls();
  const { status, body } = await service.execute(aTask({ context: undefined, description: 'Something new' }));
  assert.deepEqual([status, body.context], [200, 'degraded']);
  assert.equal(await service.ragCalls(), before + 2);
  await service.ragKnobs({});
});

test.run();
