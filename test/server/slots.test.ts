import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { Deadline, Interruption } from '../../server/deadline.js';
import { LocalSlots, type Slot } from '../../server/slots.js';

const test = suite('slots');

test('no more run at once than the tier allows, and the earliest deadline goes first', async () => {
  const slots = new LocalSlots({
    tiny: { concurrency: 1, timeout: 1, max_waiting: 10, threads: 1, events_share: 0.25 },
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
    tiny: { concurrency: 1, timeout: 1, max_waiting: 0, threads: 1, events_share: 0.25 },
  });
  await slots.acquire('tiny', deadline(1000), 'http');
  const answer = await slots.acquire('tiny', deadline(1000), 'http');
  assert.ok(answer !== undefined && 'retryAfterSeconds' in answer && answer.retryAfterSeconds >= 1);
});

test('who is cancelled while waiting leaves the queue', async () => {
  const slots = new LocalSlots({
    tiny: { concurrency: 1, timeout: 1, max_waiting: 5, threads: 1, events_share: 0.25 },
  });
  await slots.acquire('tiny', deadline(1000), 'http');
  const waiting = deadline(1000);
  const answer = slots.acquire('tiny', waiting, 'http');
  waiting.cancel(new Interruption('cancelled', 'x'));
  assert.equal(await answer, undefined);
  assert.equal(slots.usage().get('tiny')!.waiting, 0);
});

test('HTTP callers go before events, which get their share all the same', async () => {
  const slots = new LocalSlots({
    tiny: { concurrency: 1, timeout: 1, max_waiting: 50, threads: 1, events_share: 0.25 },
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
    tiny: { concurrency: 1, timeout: 1, max_waiting: 50, threads: 1, events_share: 0.25 },
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
    tiny: { concurrency: 1, timeout: 1, max_waiting: 0, threads: 1, events_share: 0.25 },
  });
  const holder = (await slots.acquire('tiny', deadline(1000), 'http')) as Slot;
  const event = slots.acquire('tiny', deadline(1000), 'events');
  assert.ok('retryAfterSeconds' in ((await slots.acquire('tiny', deadline(1000), 'http')) as object));
  holder.release();
  ((await event) as Slot).release();
});

const opened: Deadline[] = [];
test.after(() => {
  for (const each of opened) each.clear();
});

test.run();

function deadline(ms: number): Deadline {
  const made = new Deadline(ms);
  opened.push(made);
  return made;
}
