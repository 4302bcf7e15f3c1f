import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assumed, type NodeParameters, slotsCapacity } from '../../bench/nodes/parameters.js';
import { Schedule } from '../../bench/nodes/schedule.js';
import { simulate } from '../../bench/nodes/simulate.js';

const test = suite('simulation of nodes');

const plain = ({ latencies, waits, mostRunning, ...numbers }: ReturnType<typeof simulate>) => ({
  ...numbers,
  p95: latencies.at(95),
  waited: waits.at(95),
  mostRunning: [...mostRunning],
});

test('what happens happens in the order of time', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 1000 })), (times) => {
      const schedule = new Schedule();
      const seen: number[] = [];
      for (const at of times) schedule.after(at, () => seen.push(schedule.now));
      schedule.run();
      assert.equal(
        seen,
        times.toSorted((a, b) => a - b),
      );
    }),
  );
});

test('no task is lost or doubled, and no tier runs more than its slots', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 30 }),
      fc.integer({ min: 0, max: 1000 }),
      fc.double({ min: 0.1, max: 3, noNaN: true }),
      (nodes, seed, load) => {
        const { arrived, completed, latencies, waits, mostRunning } = simulate(
          { ...assumed, load },
          { nodes, seconds: 5, seed },
        );
        assert.is(completed, arrived);
        assert.is(latencies.count, arrived);
        assert.is(waits.count, arrived);
        for (const { name, slots } of assumed.tiers) assert.ok(mostRunning.get(name)! <= slots * nodes);
      },
    ),
    { numRuns: 60 },
  );
});

test('under more load than the slots hold, all slots of the most wanted tier are used', () => {
  const { mostRunning, utilisation } = simulate({ ...assumed, load: 4 }, { nodes: 3, seconds: 60, seed: 1 });
  assert.is(mostRunning.get('frontier'), 3);
  assert.ok(utilisation.slots > 0.8 && utilisation.slots <= 1, `${utilisation.slots}`);
});

test('the same seed simulates the same, another one something else', () => {
  const run = (seed: number) => plain(simulate(assumed, { nodes: 10, seconds: 10, seed }));
  assert.equal(run(1), run(1));
  assert.not.equal(run(1), run(2));
});

test('a broker that is too slow is seen as what limits', () => {
  const slow: NodeParameters = { ...assumed, brokerMessagesPerSecond: 20 };
  const { utilisation, offeredRate } = simulate(slow, { nodes: 10, seconds: 20, seed: 1 });
  assert.ok(utilisation.broker > 1 && utilisation.store < 0.1, JSON.stringify(utilisation));
  assert.is(offeredRate, assumed.load * slotsCapacity(assumed) * 10);
});

test.run();
