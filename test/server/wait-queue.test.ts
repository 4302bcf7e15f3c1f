import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { Deadline } from '../../server/deadline.js';
import { type Waiter, WaitQueue } from '../../server/wait-queue.js';

const test = suite('the queue of those who wait for a slot');
const aWaiter = (at: number): Waiter => ({
  deadline: { at } as Deadline,
  admit: () => {},
  refuse: () => {},
});

test('while only HTTP callers wait, events gain nothing', () => {
  const queue = new WaitQueue(0.5);
  const callers = Array.from({ length: 6 }, (_, at) => aWaiter(at));
  for (const caller of callers) queue.add(caller, 'http');
  assert.deepEqual(
    callers.slice(0, 4).map(() => queue.next()),
    callers.slice(0, 4),
  );
  const event = aWaiter(0);
  queue.add(event, 'events');
  assert.deepEqual([queue.next(), queue.next(), queue.next()], [callers[4], event, callers[5]]);
  assert.equal(queue.next(), undefined);
});

test.run();
