import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compare, readResult } from '../../bench/compare.js';
import { type Metric, metric } from '../../bench/result.js';
import { comparisonTable } from '../../bench/tables.js';
import { aResult, tasksPerSecond, withMetrics } from './a-result.js';

const test = suite('comparison of two runs');

const verdictOf = (before: Metric, after: Metric) =>
  compare(withMetrics(before), withMetrics(after)).changes[0]!.verdict;

test('a median that moved by more than the larger spread has changed', () => {
  assert.is(verdictOf(tasksPerSecond(100, 102, 104), tasksPerSecond(120, 121, 122)), 'better');
  assert.is(verdictOf(tasksPerSecond(120, 121, 122), tasksPerSecond(100, 102, 104)), 'worse');
});

test('less is better for what is better when it is lower', () => {
  const latency = (...rounds: number[]) => metric('p99', 'ms', rounds, { better: 'lower' });
  assert.is(verdictOf(latency(10, 11, 12), latency(5, 5, 6)), 'better');
  assert.is(verdictOf(latency(5, 5, 6), latency(10, 11, 12)), 'worse');
});

test('what moved within the spread of either run is noise', () => {
  assert.is(verdictOf(tasksPerSecond(100, 102, 104), tasksPerSecond(90, 104, 130)), 'same');
  assert.is(verdictOf(tasksPerSecond(90, 104, 130), tasksPerSecond(100, 102, 104)), 'same');
});

test('three rounds show less of the noise than more of them do', () => {
  assert.is(verdictOf(tasksPerSecond(100, 102, 104), tasksPerSecond(108, 109, 110)), 'same');
  assert.is(verdictOf(tasksPerSecond(100, 102, 104, 102), tasksPerSecond(108, 109, 110)), 'same');
  assert.is(verdictOf(tasksPerSecond(100, 102, 104, 102), tasksPerSecond(108, 109, 110, 109)), 'better');
});

test('fewer than three rounds, or a value that could not be measured, decide nothing', () => {
  assert.is(verdictOf(tasksPerSecond(100, 102), tasksPerSecond(200, 201, 202)), 'undecided');
  const lost = readResult(
    JSON.stringify(withMetrics(tasksPerSecond(Number.NaN, Number.NaN, Number.NaN))),
    'a',
  );
  assert.is(compare(lost, withMetrics(tasksPerSecond(1, 2, 3))).changes[0]!.verdict, 'undecided');
});

test('a metric that only one of the runs has is named', () => {
  const { onlyBefore, onlyAfter, changes } = compare(
    withMetrics(metric('old', '', [1])),
    withMetrics(metric('new', '', [1])),
  );
  assert.equal([onlyBefore, onlyAfter, changes], [['execute: old'], ['execute: new'], []]);
});

test('runs with another seed are told apart', () => {
  assert.equal(compare(aResult(), aResult()).warnings, []);
  assert.equal(compare(aResult({}, 1), aResult({}, 2)).warnings, ['seed: 1 before, 2 after']);
});

test('the table shows what changed and counts the rest', () => {
  const before = withMetrics(
    tasksPerSecond(100, 101, 102),
    metric('p50', 'ms', [1, 1, 1], { better: 'lower' }),
  );
  const after = withMetrics(
    tasksPerSecond(200, 201, 202),
    metric('p50', 'ms', [1, 1, 1], { better: 'lower' }),
  );
  const text = comparisonTable(compare(before, after));
  assert.match(text, /execute\s+tasks\s+101 1\/s\s+201 1\/s\s+± 4\s+better/);
  assert.not.match(text, /p50/);
  assert.match(text, /1 within the noise/);
  assert.match(comparisonTable(compare(before, before)), /Nothing changed beyond the noise/);
});

test('a file that is not a result is refused by its name', () => {
  assert.throws(() => readResult('{', 'a.json'), /a\.json is not JSON/);
  assert.throws(() => readResult('{"format": "other"}', 'b.json'), /b\.json is not a result/);
  assert.throws(() => readResult('null', 'c.json'), /c\.json is not a result/);
});

test.run();
