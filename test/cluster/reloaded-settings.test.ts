import assert from 'node:assert/strict';
import { Agent, request } from 'undici';
import { suite } from 'uvu';
import { aTask, call, until } from '../service/at-service.js';
import { atCluster, type ClusterUnderTest, reloadWith } from './at-cluster.js';

const test = suite('settings of the node after a reload');
let under: ClusterUnderTest;

test.after.each(() => under.close());

const execute = () =>
  call(`${under.url}/execute`, 'POST', JSON.stringify(aTask()), { 'content-type': 'application/json' });

test('the level of the log is that of the new configuration, unless somebody has set it', async () => {
  under = await atCluster();
  /** Of both workers: the connections are spread over them. */
  const levels = async () => {
    const asked = Array.from({ length: 20 }, async () => {
      const dispatcher = new Agent({ pipelining: 0 });
      const { body } = await request(`${under.url}/log-level`, { dispatcher });
      const { level } = (await body.json()) as { level: string };
      await dispatcher.close();
      return level;
    });
    return [...new Set(await Promise.all(asked))];
  };
  await reloadWith(under, 'log: {level: debug}');
  assert.deepEqual(await levels(), ['debug']);
  await call(`${under.url}/log-level`, 'PUT', '{"level": "warn"}');
  await until(async () => (await levels()).join() === 'warn', 'both hear of it');
  const [victim] = under.workers();
  process.kill(victim!, 'SIGKILL');
  await until(() => under.workers().length === 2 && !under.workers().includes(victim!), 'its successor');
  await until(async () => (await levels()).join() === 'warn', 'the level of the successor');
});

test('a gateway that is configured while a simulator stands in for it is asked from then on', async () => {
  under = await atCluster('', { MODEL_GATEWAY_URL: '' });
  assert.equal((await execute()).body.simulated, true);
  await reloadWith(under, `gateway: {url: '${under.gatewayUrl}'}`);
  assert.equal((await execute()).body.simulated, undefined);
  assert.equal((await under.stats()).calls, 1);
  const { stand_ins } = (await call(`${under.url}/health/ready`, 'GET')).body;
  assert.deepEqual(stand_ins, {});
});

test('a gateway that is no longer configured is missed by name, and the old workers go on', async () => {
  under = await atCluster("gateway: {url: 'http://127.0.0.1:9/api/v1'}", { MODEL_GATEWAY_URL: '' });
  const old = under.workers();
  under.configure('');
  under.primary.kill('SIGHUP');
  await until(() => under.log().includes('"event":"reload_failed"'), 'the end of the reload');
  assert.match(under.log(), /"event":"start_failed","error":"gateway\.url is no longer set[^"]*restart"/);
  assert.deepEqual(under.workers(), old);
});

test.run();
