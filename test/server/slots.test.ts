import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { Deadline, Interruption } from '../../server/deadline.js';
import { LocalSlots } from '../../server/slots.js';
import { TierSlots } from '../../server/tier-slots.js';
import type { Saturated, Slot } from '../../server/wait-queue.js';

const test = suite('slots');

const fixed = { adaptive: false, min_concurrency: 1 };

test('no more run at once than the tier allows, and the earliest deadline goes first', async () => {
  const slots = new LocalSlots({
    tiny: { concurrency: 1, timeout: 1, max_waiting: 10, threads: 1, nice: 0, events_share: 0.25, ...fixed },
  });
  const first = (await slots.acquire('tiny', deadline(1000), 'http')) as Slot;
  const order: string[] = [];
  const late = slots.acquire('tiny', deadline(900), 'http').then((slot) => done('late', slot as Slot));
  const early = slots.acquire('tiny', deadline(500), 'http').then((slot) => done('early', slot as Slot));
  const done = (name: string, slot: Slot) => {
    order.push(name);
    slot.release();
  };
  assert.deepEqual(slots.usage().get('tiny'), { limit: 1, used: 1, waiting: 2 });
  first.release();
  first.release();
  await Promise.all([late, early]);
  assert.deepEqual(order, ['early', 'late']);
  assert.deepEqual(slots.usage().get('tiny'), { limit: 1, used: 0, waiting: 0 });
});

test('a full wait queue is saturated, with a time to come again', async () => {
  const slots = new LocalSlots({
    tiny: { concurrency: 1, timeout: 1, max_waiting: 0, threads: 1, nice: 0, events_share: 0.25, ...fixed },
  });
  await slots.acquire('tiny', deadline(1000), 'http');
  const answer = await slots.acquire('tiny', deadline(1000), 'http');
  assert.ok(answer !== undefined && 'retryAfterSeconds' in answer && answer.retryAfterSeconds >= 1);
});

test('who is cancelled while waiting leaves the queue', async () => {
  const slots = new LocalSlots({
    tiny: { concurrency: 1, timeout: 1, max_waiting: 5, threads: 1, nice: 0, events_share: 0.25, ...fixed },
  });
  await slots.acquire('tiny', deadline(1000), 'http');
  const waiting = deadline(1000);
  const answer = slots.acquire('tiny', waiting, 'http');
  waiting.cancel(new Interruption('cancelled', 'x'));
  assert.equal(await answer, undefined);
  assert.equal(slots.usage().get('tiny')!.waiting, 0);
});

test('who leaves the queue takes nobody along, neither of his kind nor of the other', async () => {
  const slots = new LocalSlots({
    tiny: { concurrency: 1, timeout: 1, max_waiting: 5, threads: 1, nice: 0, events_share: 0.25, ...fixed },
  });
  for (const from of ['http', 'events'] as const) {
    const first = (await slots.acquire('tiny', deadline(1000), 'http')) as Slot;
    const leaving = deadline(2000);
    const others = [
      slots.acquire('tiny', deadline(1000), 'http'),
      slots.acquire('tiny', deadline(3000), 'http'),
      slots.acquire('tiny', deadline(1000), 'events'),
      slots.acquire('tiny', deadline(3000), 'events'),
    ];
    const left = slots.acquire('tiny', leaving, from);
    leaving.cancel(new Interruption('cancelled', 'x'));
    assert.equal(await left, undefined);
    assert.equal(slots.usage().get('tiny')!.waiting, 4);
    first.release();
    for (const other of others) void other.then((slot) => (slot as Slot).release());
    await Promise.all(others);
    assert.deepEqual(slots.usage().get('tiny'), { limit: 1, used: 0, waiting: 0 });
  }
});

test('who was stopped before he asked gets no slot, also when one is free', async () => {
  const slots = new LocalSlots({
    tiny: { concurrency: 1, timeout: 1, max_waiting: 5, threads: 1, nice: 0, events_share: 0.25, ...fixed },
  });
  const stopped = deadline(1000);
  stopped.cancel(new Interruption('shutting_down', 'x'));
  assert.equal(await slots.acquire('tiny', stopped, 'events'), undefined);
  assert.equal(slots.usage().get('tiny')!.used, 0);
});

const twoSlots = {
  concurrency: 2,
  timeout: 60,
  max_waiting: 50,
  threads: 1,
  nice: 0,
  events_share: 0.25,
  ...fixed,
};

/** The mean of so many tasks that those before count no more. */
const many = (meanMs: number) => ({ meanMs, tasks: 16 });

test('who waits in other processes is reckoned with, as far as these have their turns before', async () => {
  const slots = new TierSlots(twoSlots);
  // Two slots of 10 s. Who is the first here has one of each of the three others before him, where so many wait.
  const told = (waiting: number) => {
    slots.contend(waiting, 0, 3, many(10_000));
    return slots.acquire(deadline(1), 'http');
  };
  assert.deepEqual([0, 1, 2, 3, 4, 100].map(told), [5, 10, 15, 20, 20, 20].map(retryAfter));
  slots.contend(100, 0, 3, many(10_000));
  const patient = deadline(21_000);
  const waits = slots.acquire(patient, 'http');
  assert.deepEqual(
    await slots.acquire(deadline(39_000), 'http'),
    retryAfter(40),
    'the second has eight turns before him',
  );
  slots.grow(1);
  assert.ok('release' in ((await waits) as object));
});

test('who has an early deadline is not refused for those behind him, nor for events, which let him go first', async () => {
  const slots = new TierSlots(twoSlots);
  slots.learn(many(10_000));
  const waiting = [
    ...Array.from({ length: 8 }, () => slots.acquire(deadline(100_000), 'http')),
    ...Array.from({ length: 8 }, () => slots.acquire(deadline(1_000), 'events')),
  ];
  const early = slots.acquire(deadline(6_000), 'http');
  assert.deepEqual(await slots.acquire(deadline(9_000), 'http'), retryAfter(10), 'one is before him');
  slots.grow(1);
  ((await early) as Slot).release();
  slots.grow(16);
  await Promise.all(waiting);
});

test('how long a task takes that comes now: as long as others did, and its wait where there is no room', async () => {
  const slots = new TierSlots(twoSlots);
  slots.grow(2);
  assert.equal(slots.turnaroundMs, undefined);
  slots.learn(many(10_000));
  const take = () => slots.acquire(deadline(60_000), 'http');
  take();
  assert.equal(slots.turnaroundMs, 10_000);
  take();
  assert.equal(slots.turnaroundMs, 15_000);
  void take();
  assert.equal(slots.turnaroundMs, 20_000);
});

test('a first task that took long is one of those seen, and weighs no more than the others', async () => {
  const slots = new TierSlots(twoSlots);
  slots.grow(1);
  const take = async () => (await slots.acquire(deadline(60_000), 'http')) as Slot;
  const slow = await take();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  slow.release();
  const first = slots.turnaroundMs!;
  for (let task = 0; task < 7; task++) (await take()).release();
  assert.ok(slots.turnaroundMs! < first / 2, `${slots.turnaroundMs} ms, first ${first} ms`);
});

test('what the node has seen weighs more than the first task of a process', async () => {
  const slots = new TierSlots(twoSlots);
  slots.grow(1);
  slots.learn(many(40_000));
  ((await slots.acquire(deadline(60_000), 'http')) as Slot).release();
  assert.ok(slots.turnaroundMs! > 35_000, `${slots.turnaroundMs} ms`);
});

test('HTTP callers go before events, which get their share all the same', async () => {
  const slots = new LocalSlots({
    tiny: { concurrency: 1, timeout: 1, max_waiting: 50, threads: 1, nice: 0, events_share: 0.25, ...fixed },
  });
  const first = (await slots.acquire('tiny', deadline(1000), 'http')) as Slot;
  const order: string[] = [];
  const wait = (from: 'http' | 'events') =>
    slots.acquire('tiny', deadline(1000), from).then((slot) => {
      order.push(from);
      (slot as Slot).release();
    });
  const all = [...Array(3).fill('events'), ...Array(6).fill('http')].map(wait);
  first.release();
  await Promise.all(all);
  assert.deepEqual(order, ['http', 'http', 'http', 'events', 'http', 'http', 'http', 'events', 'events']);
});

test('who could not be served before his deadline is told so at once; an event waits', async () => {
  const slots = new LocalSlots({
    tiny: { concurrency: 1, timeout: 1, max_waiting: 50, threads: 1, nice: 0, events_share: 0.25, ...fixed },
  });
  const slow = (await slots.acquire('tiny', deadline(1000), 'http')) as Slot;
  await new Promise((resolve) => setTimeout(resolve, 60));
  slow.release();
  const holder = (await slots.acquire('tiny', deadline(1000), 'http')) as Slot;
  const answer = await slots.acquire('tiny', deadline(5), 'http');
  assert.ok(answer !== undefined && 'retryAfterSeconds' in answer);
  const event = slots.acquire('tiny', deadline(1000), 'events');
  assert.equal(slots.usage().get('tiny')!.waiting, 1);
  holder.release();
  ((await event) as Slot).release();
});

test('events are not bounded by max_waiting: the consumer bounds them', async () => {
  const slots = new LocalSlots({
    tiny: { concurrency: 1, timeout: 1, max_waiting: 0, threads: 1, nice: 0, events_share: 0.25, ...fixed },
  });
  const holder = (await slots.acquire('tiny', deadline(1000), 'http')) as Slot;
  const event = slots.acquire('tiny', deadline(1000), 'events');
  assert.ok('retryAfterSeconds' in ((await slots.acquire('tiny', deadline(1000), 'http')) as object));
  holder.release();
  ((await event) as Slot).release();
});

test('a limit that falls takes slots away when their tasks end, and one that rises gives them back', async () => {
  const slots = new LocalSlots({
    tiny: {
      ...fixed,
      concurrency: 8,
      timeout: 1,
      max_waiting: 50,
      threads: 1,
      nice: 0,
      events_share: 0,
      adaptive: true,
    },
  });
  const usage = () => slots.usage().get('tiny')!;
  const windows = async (count: number, latencyMs: number | undefined) => {
    for (let i = 0; i < count; i++) {
      await new Promise((resolve) => setTimeout(resolve, 260));
      for (let call = 0; call < 5; call++) slots.observe('tiny', latencyMs);
    }
  };
  assert.equal(usage().limit, 1);
  const held: Slot[] = [];
  const waiting = Array.from({ length: 12 }, () =>
    slots.acquire('tiny', deadline(60_000), 'http').then((slot) => {
      held.push(slot as Slot);
    }),
  );
  await windows(4, 10);
  assert.deepEqual([usage().limit, usage().used, usage().waiting], [8, 8, 4]);
  await windows(2, undefined);
  const { limit } = usage();
  assert.ok(limit < 8);
  for (let ended = 8 - limit; ended > 0; ended--) held.shift()!.release();
  assert.deepEqual([usage().used, usage().waiting], [limit, 4], 'no slot above the limit was passed on');
  held.shift()!.release();
  await Promise.resolve();
  assert.deepEqual([usage().used, usage().waiting], [limit, 3]);
  await windows(10, 10);
  assert.deepEqual([usage().limit, usage().waiting], [8, 0]);
  await Promise.all(waiting);
  for (const slot of held.splice(0)) slot.release();
  assert.equal(usage().used, 0);
});

const opened: Deadline[] = [];
test.after(() => {
  for (const each of opened) each.clear();
});

test.run();

function retryAfter(seconds: number): Saturated {
  return { retryAfterSeconds: seconds };
}

function deadline(ms: number): Deadline {
  const made = new Deadline(ms);
  opened.push(made);
  return made;
}
