import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { aTask, atService, oneTier, type ServiceUnderTest, until } from './at-service.js';

const test = suite('retention');
let service: ServiceUnderTest;

test.after.each(() => service.close());

test('a task that is older than retention_seconds is gone, and may run anew', async () => {
  service = await atService(`${oneTier}\nstore: {retention_seconds: 2, prune_interval_seconds: 0.1}`);
  const old = aTask();
  const { artifact_id } = (await service.execute(old)).body;
  assert.equal(await statusOf(`/artifacts/${artifact_id}`), 200);
  await until(async () => (await statusOf(`/artifacts/${artifact_id}`)) === 404, 'the old one goes');
  assert.equal(await statusOf(`/tasks/${old.task_id}`), 404);
  assert.equal(await statusOf(`/tasks/${old.task_id}/receipt`), 404);
  const { calls } = await service.stats();
  assert.equal((await service.execute(old)).body.artifact_id, artifact_id);
  assert.equal((await service.stats()).calls, calls + 1);
  assert.equal(await statusOf(`/artifacts/${artifact_id}`), 200);
});

test('above max_bytes the oldest tasks go, and the newest stay', async () => {
  service = await atService(`
store: {max_bytes: 1048576, prune_interval_seconds: 0.1}
models: {'gemma3:12b': {context_window: 2000000, max_output_tokens: 1000000}}`);
  await service.knobs({ outputBytes: 300_000 });
  const artifacts: string[] = [];
  for (let i = 0; i < 5; i++) {
    const { status, body, text } = await service.execute(aTask());
    assert.equal(status, 200, text.slice(0, 500));
    artifacts.push(body.artifact_id);
  }
  await until(async () => (await statusOf(`/artifacts/${artifacts[1]}`)) === 404, 'the oldest go');
  const statuses = await Promise.all(artifacts.map((id) => statusOf(`/artifacts/${id}`)));
  assert.deepEqual(statuses, [404, 404, 200, 200, 200]);
});

test.run();

async function statusOf(path: string): Promise<number> {
  return (await service.ask('GET', path)).status;
}
