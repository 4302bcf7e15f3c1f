import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { atService } from './at-service.js';

const test = suite('threads that stand back');

/** proc(5): the fields after the name in brackets; the 19th of all is the nice value. */
const niceValues = () =>
  readdirSync('/proc/self/task').map((thread) =>
    Number(
      readFileSync(`/proc/self/task/${thread}/stat`, 'utf8')
        .replace(/^.*\) /, '')
        .split(' ')[16],
    ),
  );

test('those of the patient tiers, and no others', async () => {
  const before = niceValues();
  assert.ok(before.every((nice) => nice === before[0]));
  const service = await atService('queues: {small: {threads: 2, nice: 3}}');
  try {
    const raised = niceValues()
      .map((nice) => nice - before[0]!)
      .filter((more) => more > 0)
      .sort((a, b) => a - b);
    // small has two; large, coding and frontier one each.
    assert.deepEqual(raised, [3, 3, 10, 10, 10]);
  } finally {
    await service.close();
  }
});

test.run();
