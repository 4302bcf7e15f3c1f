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

test('who comes first is told of as it will be: HTTP callers by deadline, and the share of events between them', () => {
  for (const share of [0, 0.2, 0.25, 0.5, 0.9, 1])
    for (const [callers, events] of [
      [0, 3],
      [4, 0],
      [7, 2],
      [9, 40],
    ] as const) {
      const queue = new WaitQueue(share);
      // Some of the credit is used up before.
      for (let at = 0; at < 3; at++) queue.add(aWaiter(at), 'http');
      queue.add(aWaiter(0), 'events');
      for (let turn = 0; turn < 4; turn++) queue.next();
      for (let at = 0; at < callers; at++) queue.add(aWaiter(10 * at), 'http');
      for (let at = 0; at < events; at++) queue.add(aWaiter(at), 'events');
      const mine = aWaiter(45);
      const before = queue.httpBefore(mine.deadline);
      assert.equal(before, Math.min(callers, 5));
      const said = queue.ahead(before);
      queue.add(mine, 'http');
      let turns = 0;
      while (queue.next() !== mine) turns++;
      assert.equal(said, turns, `with a share of ${share}, ${callers} callers and ${events} events`);
    }
});

test.run();
