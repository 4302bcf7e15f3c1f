import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { aTask, call, until } from '../service/at-service.js';
import { atCluster, type ClusterUnderTest, reloadWith } from './at-cluster.js';

const test = suite('a reload with another configuration');
let under: ClusterUnderTest;

const endpoint = 'ollama_gpu_general';
const tiers = `
  small: {model: "gemma3:12b", endpoint: ${endpoint}}
  large: {model: "gemma3:12b", endpoint: ${endpoint}}`;
const extra = `
  extra: {model: "gemma3:4b", endpoint: ${endpoint}}`;
const queues = (small: string, more = '') => `{small: {timeout: 30, ${small}}${more}}`;
const before = `tier_models:${tiers}\nqueues: ${queues('concurrency: 2')}`;

test.after.each(() => under.close());

const execute = (tier: string) =>
  call(`${under.url}/execute`, 'POST', JSON.stringify(aTask({ tier })), {
    'content-type': 'application/json',
  });

const codesOf = (answers: readonly Awaited<ReturnType<typeof execute>>[]) =>
  answers.map(({ status, body }) => (status === 200 ? status : body.code));

/** Executes so many tasks of a tier at once: what their answers were, each kind once. */
const allAtOnce = async (count: number, tier: string) => [
  ...new Set(codesOf(await Promise.all(Array.from({ length: count }, () => execute(tier))))),
];

const reload = (yaml: string) => reloadWith(under, yaml);

test('a tier that was added gets slots', async () => {
  under = await atCluster(before);
  assert.deepEqual(codesOf([await execute('extra')]), ['unknown_tier']);
  const more = ', extra: {concurrency: 2, timeout: 5}';
  await reload(`tier_models:${tiers}${extra}\nqueues: ${queues('concurrency: 2', more)}`);
  await under.knobs({ ttftMs: 500 });
  assert.deepEqual(await allAtOnce(6, 'extra'), [200]);
  assert.equal((await under.stats()).maxOpen, 2);
});

test('a limit that was raised is used', async () => {
  under = await atCluster(before);
  await reload(`tier_models:${tiers}\nqueues: ${queues('concurrency: 5')}`);
  await under.knobs({ ttftMs: 500 });
  assert.deepEqual(await allAtOnce(15, 'small'), [200]);
  assert.equal((await under.stats()).maxOpen, 5);
});

test('a limit that became adaptive begins with the least, and grows while the endpoint keeps up', async () => {
  under = await atCluster(before);
  await reload(
    `tier_models:${tiers}\nqueues: ${queues('concurrency: 5, adaptive: true, min_concurrency: 1')}`,
  );
  await under.knobs({ ttftMs: 100 });
  assert.deepEqual(await allAtOnce(3, 'small'), [200]);
  assert.equal((await under.stats()).maxOpen, 1);
  await under.knobs({ ttftMs: 30 });
  await until(async () => {
    assert.deepEqual(await allAtOnce(20, 'small'), [200]);
    return (await under.stats()).maxOpen > 1;
  }, 'more calls at once');
});

test('a limit that was lowered holds over old and new workers', async () => {
  under = await atCluster(before.replace('concurrency: 2', 'concurrency: 4'), { GRACE_PERIOD_MS: '200' });
  await under.knobs({ ttftMs: 4000 });
  const long = Array.from({ length: 4 }, () => execute('small'));
  await until(async () => (await under.stats()).open === 4, 'all slots taken');
  const old = under.workers();
  under.configure(`tier_models:${tiers}\nqueues: ${queues('concurrency: 2')}`);
  under.primary.kill('SIGHUP');
  await until(
    () => under.log().split('"event":"listening","host":"127.0.0.1"').length - 1 >= 2 * old.length + 1,
    'the new workers',
  );
  await under.knobs({ ttftMs: 500 });
  const short = Array.from({ length: 6 }, () => execute('small'));
  // What ran before the limit fell may end. It does not make room beyond the new one.
  assert.deepEqual([...new Set(codesOf(await Promise.all(long)))], [200]);
  await under.resetStats();
  assert.deepEqual([...new Set(codesOf(await Promise.all(short)))], [200]);
  assert.equal((await under.stats()).maxOpen, 2);
});

test('a tier that was removed ends what it has, and takes nothing new', async () => {
  const more = ', extra: {concurrency: 1, timeout: 30}';
  under = await atCluster(`tier_models:${tiers}${extra}\nqueues: ${queues('concurrency: 2', more)}`);
  await under.knobs({ ttftMs: 2000 });
  const answers = Array.from({ length: 4 }, () => execute('extra'));
  await until(async () => (await under.stats()).open === 1, 'one runs, the others wait');
  await reload(before);
  assert.deepEqual([...new Set(codesOf(await Promise.all(answers)))], [200]);
  assert.equal((await under.stats()).maxOpen, 1);
  assert.deepEqual(codesOf([await execute('extra')]), ['unknown_tier']);
});

test.run();
