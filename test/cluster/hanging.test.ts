import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { Pulse } from '../../server/cluster/pulse.js';
import { aTask, call, onlyTiny, sleep, until } from '../service/at-service.js';
import { atCluster } from './at-cluster.js';

const test = suite('workers that hang');

test('one that says nothing is told of once, one that answers never', async () => {
  const still: number[] = [];
  const pulse: Pulse = new Pulse(
    60,
    (worker) => worker === 1 && pulse.heard(worker),
    (worker) => still.push(worker),
  );
  for (const worker of [1, 2, 3, 4]) pulse.watch(worker);
  // The other one is still starting.
  for (const worker of [1, 2, 3]) pulse.heard(worker);
  pulse.gone(3);
  await until(() => still.length > 0, 'the one that says nothing');
  await sleep(200);
  assert.deepEqual(still, [2]);
  pulse.close();
});

test('one that never begins to listen is told of after the time of a start, which may be longer', async () => {
  const still: number[] = [];
  const told = (startMs: number) => {
    const pulse = new Pulse(
      60,
      () => {},
      () => still.push(startMs),
      startMs,
    );
    pulse.watch(1);
    return pulse;
  };
  const pulses = [told(0), told(300), told(600_000)];
  await until(() => still.length === 2, 'those whose time is over');
  await sleep(100);
  for (const pulse of pulses) pulse.close();
  assert.deepEqual(still, [0, 300]);
});

test('a worker that hangs is killed and replaced, and its slots come back', async () => {
  const under = await atCluster(`${onlyTiny(2, 60)}\nserver: {worker_timeout_ms: 4000}`);
  const execute = (task: object) =>
    call(`${under.url}/execute`, 'POST', JSON.stringify(task), { 'content-type': 'application/json' });
  try {
    await under.knobs({ ttftMs: 600_000 });
    const held = Array.from({ length: 2 }, () => execute(aTask({ tier: 'tiny' })).catch(() => 'reset'));
    await until(async () => (await under.stats()).open === 2, 'all slots taken');
    const before = under.workers();
    for (const pid of before) process.kill(pid, 'SIGSTOP');
    assert.deepEqual(await Promise.all(held), ['reset', 'reset']);
    await until(() => under.times('worker_hangs') === 2, 'the log says so');
    await until(() => under.workers().filter((pid) => !before.includes(pid)).length === 2, 'new workers');
    await under.knobs({});
    await until(
      async () => (await execute(aTask({ tier: 'tiny' })).catch(() => undefined))?.status === 200,
      'a task that is executed',
    );
    assert.ok((await under.stats()).maxOpen <= 2);
  } finally {
    await under.close();
  }
});

test.run();
