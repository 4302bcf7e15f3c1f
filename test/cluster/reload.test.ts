import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Client } from 'undici';
import { suite } from 'uvu';
import { workerSeatVariable } from '../../contracts/cluster.js';
import { aTask, call, onlyTiny, until } from '../service/at-service.js';
import { atCluster, type ClusterUnderTest } from './at-cluster.js';

/** With tasks that take longer than the grace period. */
const test = suite('a reload while long tasks run');
const GRACE_PERIOD_MS = 200;
const TASK_MS = 4000;
let under: ClusterUnderTest;

test.before.each(async () => {
  under = await atCluster(onlyTiny(4, 30), {
    GRACE_PERIOD_MS: String(GRACE_PERIOD_MS),
  });
  await under.knobs({ ttftMs: TASK_MS });
});
test.after.each(() => under.close());

/** Whether it is a process of its own: one that is stopped before its exec stops the primary, which waits for that. */
function hasBegun(pid: number): boolean {
  return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`${workerSeatVariable}=`);
}

/** Takes all slots of the tier. */
async function fourTasks(): Promise<ReturnType<typeof call>[]> {
  const headers = { 'content-type': 'application/json' };
  const answers = Array.from({ length: 4 }, () =>
    call(`${under.url}/execute`, 'POST', JSON.stringify(aTask({ tier: 'tiny' })), headers),
  );
  await until(async () => (await under.stats()).open === 4, 'all slots taken');
  return answers;
}

test('the old workers end them, and new ones are there meanwhile', async () => {
  const before = under.workers();
  const answers = await fourTasks();
  under.primary.kill('SIGHUP');
  await until(
    () => under.log().split('"event":"listening","host":"127.0.0.1"').length - 1 >= 2 * before.length + 1,
    'the new workers',
  );
  assert.ok(before.some((pid) => under.workers().includes(pid)));
  const ended = await Promise.all(answers);
  assert.deepEqual(
    ended.map(({ status }) => status),
    [200, 200, 200, 200],
  );
  await until(() => under.log().includes('"event":"reloaded"'), 'the end of the reload');
  assert.deepEqual(
    under.workers().filter((pid) => before.includes(pid)),
    [],
  );
});

test('who reads streams of events one after the other on one connection sees none fail', async () => {
  await under.knobs({ ttftMs: 300, chunks: 3 });
  const failed: string[] = [];
  let stop = false;
  const lanes = Array.from({ length: 4 }, async () => {
    const client = new Client(under.url);
    const headers = { 'content-type': 'application/json', accept: 'text/event-stream' };
    while (!stop) {
      const body = JSON.stringify(aTask({ tier: 'tiny' }));
      await client
        .request({ path: '/execute', method: 'POST', headers, body })
        .then((answer) => answer.body.text())
        .then(
          (text) => text.includes('event: completed') || failed.push(text),
          (error: Error) => failed.push(error.message),
        );
    }
    await client.close();
  });
  under.primary.kill('SIGHUP');
  await until(() => under.log().includes('"event":"reloaded"'), 'the end of the reload');
  stop = true;
  await Promise.all(lanes);
  assert.deepEqual(failed, []);
});

test('the new workers know from the old ones how long a task takes', async () => {
  await under.close();
  under = await atCluster(onlyTiny(1, 6));
  await under.knobs({ ttftMs: 1500 });
  const headers = { 'content-type': 'application/json' };
  const execute = () =>
    call(`${under.url}/execute`, 'POST', JSON.stringify(aTask({ tier: 'tiny' })), headers);
  assert.equal((await execute()).status, 200);
  under.primary.kill('SIGHUP');
  await until(() => under.log().includes('"event":"reloaded"'), 'the end of the reload');
  // Nothing ends from which they could learn it themselves.
  await under.knobs({ hangBeforeHeaders: true });
  const answers = await Promise.all(Array.from({ length: 20 }, execute));
  const saturated = answers.filter(({ body }) => body.code === 'tier_saturated');
  assert.ok(saturated.length >= 10, `${saturated.length} of 20`);
  for (const { headers } of saturated) assert.ok(Number(headers['retry-after']) > 1);
});

test('a worker that dies while its replacement starts is replaced, even when that one does not start', async () => {
  const before = under.workers();
  under.primary.kill('SIGHUP');
  const begun = () => under.workers().filter((pid) => !before.includes(pid) && hasBegun(pid));
  await until(() => begun().length > 0, 'a replacement');
  const [replacement] = begun();
  process.kill(replacement!, 'SIGSTOP');
  for (const pid of before) process.kill(pid, 'SIGKILL');
  await until(() => under.times('worker_respawned') === 1, 'the one whose seat nobody else fills');
  process.kill(replacement!, 'SIGKILL');
  await until(() => under.log().includes('"event":"reload_failed"'), 'the end of the reload');
  await until(() => under.times('worker_respawned') === 2, 'the other one');
  assert.equal(under.workers().length, 2);
});

test('SIGTERM meanwhile ends them after the grace period', async () => {
  const before = under.workers().length;
  const answers = await fourTasks();
  under.primary.kill('SIGHUP');
  await until(() => under.workers().length > before, 'a new worker');
  under.primary.kill('SIGTERM');
  const ended = await Promise.all(answers);
  assert.deepEqual([...new Set(ended.map(({ body }) => body.code))], ['shutting_down']);
  assert.equal(await under.exited, 0);
});

test('SIGTERM while a worker starts does not have to wait until it is killed', async () => {
  const before = under.workers();
  under.primary.kill('SIGHUP');
  await until(() => under.workers().length > before.length, 'a new worker');
  under.primary.kill('SIGTERM');
  assert.equal(await under.exited, 0);
  assert.equal(
    under.times('stopped'),
    before.length + 2,
    'the old workers, the new one and the primary say that they stopped',
  );
});

test.run();
