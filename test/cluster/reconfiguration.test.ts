import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { aTask, call, onlyTiny, until } from '../service/at-service.js';
import { atCluster, type ClusterUnderTest, reloadWith } from './at-cluster.js';

const test = suite('a configuration that changes while the service runs');
let under: ClusterUnderTest;

const before = onlyTiny(2, 30);

test.after.each(() => under.close());

const execute = (tier: string) =>
  call(`${under.url}/execute`, 'POST', JSON.stringify(aTask({ tier })), {
    'content-type': 'application/json',
  });

test('one that is wrong changes nothing, and the log says what is wrong', async () => {
  under = await atCluster(before);
  const old = under.workers();
  under.configure('queues: {tiny: {concurrency: -1}}');
  under.primary.kill('SIGHUP');
  await until(() => under.log().includes('"event":"reload_failed"'), 'the end of the reload');
  assert.match(under.log(), /queues\.tiny\.concurrency/);
  assert.deepEqual(under.workers(), old);
  await under.knobs({ ttftMs: 500 });
  const answers = await Promise.all(Array.from({ length: 4 }, () => execute('tiny')));
  assert.ok(answers.every(({ status }) => status === 200));
  assert.equal((await under.stats()).maxOpen, 2);
});

test('a gateway that is configured while a simulator stands in for it is asked from then on, and logged as told', async () => {
  under = await atCluster(before, { MODEL_GATEWAY_URL: '' });
  assert.equal((await execute('tiny')).body.simulated, true);
  await reloadWith(under, `gateway: {url: '${under.gatewayUrl}'}\nlog: {level: debug}`);
  assert.equal((await execute('tiny')).body.simulated, undefined);
  assert.equal((await under.stats()).calls, 1);
  const { stand_ins } = (await call(`${under.url}/health/ready`, 'GET')).body;
  assert.deepEqual(stand_ins, {});
  assert.equal((await call(`${under.url}/log-level`, 'GET')).body.level, 'debug');
});

test('a configuration that became wrong stops no worker, and a dead one has a successor when it is right again', async () => {
  under = await atCluster(before);
  under.configure('queues: {tiny: {concurrency: none}}');
  const [victim, other] = under.workers();
  process.kill(victim!, 'SIGKILL');
  await until(() => under.times('worker_start_failed') >= 2, 'two attempts');
  assert.equal(
    under.times('worker_died'),
    1,
    'attempts do not count as deaths, of which too many end the service',
  );
  assert.ok(under.workers().includes(other!));
  assert.equal((await execute('tiny')).status, 200);
  under.configure(before);
  await until(() => under.times('worker_respawned') === 1, 'the successor');
  assert.equal(under.workers().length, 2);
});

test.run();
