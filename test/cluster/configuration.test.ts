import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { aTask, call, until } from '../service/at-service.js';
import { atCluster, type ClusterUnderTest } from './at-cluster.js';

const test = suite('a reload with another configuration');
let under: ClusterUnderTest;

const endpoint = 'ollama_gpu_general';
const tiers = `
  small: {model: "gemma3:12b", endpoint: ${endpoint}}
  large: {model: "gemma3:12b", endpoint: ${endpoint}}`;
const queues = (small: string) => `{small: {timeout: 30, ${small}}}`;
const before = `tier_models:${tiers}\nqueues: ${queues('concurrency: 2')}`;

test.after.each(() => under.close());

const execute = (tier: string) =>
  call(`${under.url}/execute`, 'POST', JSON.stringify(aTask({ tier })), {
    'content-type': 'application/json',
  });

const codesOf = (answers: readonly Awaited<ReturnType<typeof execute>>[]) =>
  answers.map(({ status, body }) => (status === 200 ? status : body.code));

test('one that is wrong changes nothing, and the log says what is wrong', async () => {
  under = await atCluster(before);
  const old = under.workers();
  under.configure(`tier_models:${tiers}\nqueues: ${queues('concurrency: -1')}`);
  under.primary.kill('SIGHUP');
  await until(() => under.log().includes('"event":"reload_failed"'), 'the end of the reload');
  assert.match(under.log(), /queues\.small\.concurrency/);
  assert.deepEqual(under.workers(), old);
  await under.knobs({ ttftMs: 500 });
  const answers = await Promise.all(Array.from({ length: 4 }, () => execute('small')));
  assert.deepEqual([...new Set(codesOf(answers))], [200]);
  assert.equal((await under.stats()).maxOpen, 2);
});

test.run();
