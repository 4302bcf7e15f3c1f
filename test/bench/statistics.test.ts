import { decodeFromCompressedBase64 } from 'hdr-histogram-js';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Latencies, together } from '../../bench/latencies.js';
import { aimText, metric } from '../../bench/result.js';
import { ratios, takeTurns } from '../../bench/rounds.js';
import { median, range } from '../../bench/statistics.js';
import { taskMaker } from '../../bench/tasks.js';

const test = suite('statistics of benchmarks');

test('the median is the value in the middle, or the mean of the two', () => {
  assert.is(median([9, 1, 5]), 5);
  assert.is(median([4, 1, 3, 2]), 2.5);
  assert.is(median([7]), 7);
  assert.ok(Number.isNaN(median([])));
});

test('the spread of a metric is its largest round minus its smallest', () => {
  const { value, spread, rounds } = metric('m', 'ms', [3, 1, 2]);
  assert.is(value, 2);
  assert.is(spread, 2);
  assert.equal(rounds, [3, 1, 2]);
  assert.is(range([]), 0);
});

test('an aim is met at its bound, and missed beyond it', () => {
  const met = (value: number, aim: object) => metric('m', '', [value], { aim }).met;
  assert.is(met(2, { atLeast: 2 }), 'yes');
  assert.is(met(1.99, { atLeast: 2 }), 'no');
  assert.is(met(0.5, { atMost: 0.5 }), 'yes');
  assert.is(met(0.51, { atMost: 0.5 }), 'no');
  assert.is(metric('m', '', [1]).met, undefined);
});

test('an aim that needs more cores than there are, or a value that could not be measured, is left open', () => {
  assert.is(metric('m', '', [9], { aim: { atLeast: 1, cores: 100_000 } }).met, 'unknown');
  assert.is(metric('m', '', [Number.NaN], { aim: { atMost: 1 } }).met, 'unknown');
  assert.is(aimText({ atLeast: 1.6, cores: 4 }), '≥ 1.6, from 4 cores');
});

test('latencies keep microseconds, over the rounds too', () => {
  const [first, second] = [new Latencies(), new Latencies()];
  for (let i = 1; i <= 50; i++) first.record(i / 100);
  for (let i = 51; i <= 100; i++) second.record(i / 100);
  const all = together([first, second]);
  assert.is(all.count, 100);
  assert.ok(Math.abs(all.at(50) - 0.5) < 0.001, `${all.at(50)}`);
  assert.ok(Math.abs(all.at(99) - 0.99) < 0.001, `${all.at(99)}`);
  assert.ok(Number.isNaN(new Latencies().at(99)));
});

test('the encoded histogram is one that HdrHistogram reads', () => {
  const latencies = new Latencies();
  for (const ms of [1, 2, 3]) latencies.record(ms);
  const decoded = decodeFromCompressedBase64(latencies.distribution().hdr);
  assert.is(decoded.totalCount, 3);
  assert.is(decoded.getValueAtPercentile(50), 2000);
});

test('contestants alternate, and every other round goes backwards', async () => {
  const order: string[] = [];
  const play = (name: string) => async () => {
    order.push(name);
    return order.length;
  };
  const bench = { rounds: 3, seconds: 0, tell: () => {} };
  const rounds = await takeTurns(bench, { floor: play('floor'), service: play('service') });
  assert.equal(order, ['floor', 'service', 'floor', 'service', 'service', 'floor', 'floor', 'service']);
  assert.equal(rounds, { floor: [3, 6, 7], service: [4, 5, 8] });
  assert.equal(ratios(rounds.service, rounds.floor), [4 / 3, 5 / 6, 8 / 7]);
});

test('the same seed asks for the same tasks, with ids that no other maker has', () => {
  const take = (seed: number, prefix: string) => {
    const next = taskMaker(seed, prefix);
    return Array.from({ length: 50 }, () => next());
  };
  const texts = (tasks: { data: object }[]) =>
    tasks.map(({ data }) => (data as { description: string }).description);
  assert.equal(texts(take(1, 'a')), texts(take(1, 'b')));
  assert.not.equal(texts(take(1, 'a')), texts(take(2, 'a')));
  const ids = [...take(1, 'a'), ...take(1, 'b')].map(({ id }) => id);
  assert.is(new Set(ids).size, 100);
});

test.run();
