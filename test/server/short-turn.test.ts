import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { afterShortTurn } from '../../server/http/short-turn.js';

const test = suite('a short turn of the event loop');

test('is waited for while turns are long', async () => {
  const durations = [5, 1, 0.3, 0.1, 5];
  let clock = 0;
  let readings = 0;
  await afterShortTurn(() => {
    if (readings++ % 2 === 1) clock += durations.shift()!;
    return clock;
  });
  assert.deepEqual(durations, [5]);
});

test('is not waited for without end', async () => {
  let clock = 0;
  await afterShortTurn(() => (clock += 5));
  assert.ok(clock > 0);
});

test.run();
