import assert from 'node:assert/strict';
import { AggregatorRegistry, Counter, Histogram, Registry } from 'prom-client';
import { suite } from 'uvu';
import { CounterSeries, HistogramSeries } from '../../server/series.js';

const test = suite('series');
const buckets = [0.1, 1, 10];
const observations: [tier: string, stage: string, value: number][] = [
  ['tiny', 'wait', 0.05],
  ['tiny', 'wait', 0.1],
  ['tiny', 'wait', 0.10001],
  ['small', 'a "quoted"\nname', 100],
  ['small', 'wait', 1],
  ['tiny', 'wait', 10],
];

/** The same observations, by ours and by prom-client's own. */
function both(): { ours: Registry; theirs: Registry } {
  const [ours, theirs] = [new Registry(), new Registry()];
  const labelNames = ['tier', 'stage'];
  const total = new CounterSeries('tasks_total', 'Tasks.', labelNames, ours);
  const seconds = new HistogramSeries('stage_seconds', 'Time.', labelNames, buckets, ours);
  const registers = [theirs];
  const theirTotal = new Counter({ name: 'tasks_total', help: 'Tasks.', labelNames, registers });
  const theirSeconds = new Histogram({
    name: 'stage_seconds',
    help: 'Time.',
    labelNames,
    buckets,
    registers,
  });
  for (const [tier, stage, value] of observations) {
    total.add([tier, stage]);
    total.add([tier, stage], 2);
    seconds.observe([tier, stage], value);
    theirTotal.inc({ tier, stage });
    theirTotal.inc({ tier, stage }, 2);
    theirSeconds.observe({ tier, stage }, value);
  }
  return { ours, theirs };
}

/** Lines with their labels in alphabetical order. */
const lines = (text: string) =>
  text
    .split('\n')
    .map((line) =>
      line.replace(/\{(.*)\}/, (_, labels: string) =>
        labels
          .split(/,(?=\w+=")/)
          .sort()
          .join(),
      ),
    )
    .sort();

test('they say what prom-client says', async () => {
  const { ours, theirs } = both();
  assert.deepEqual(lines(await ours.metrics()), lines(await theirs.metrics()));
});

test('they merge over the workers of a node as prom-client does', async () => {
  const merged = async (registries: Registry[]) => {
    const values = await Promise.all(registries.map((registry) => registry.getMetricsAsJSON()));
    return lines(await AggregatorRegistry.aggregate(JSON.parse(JSON.stringify(values))).metrics());
  };
  const [one, two] = [both(), both()];
  assert.deepEqual(await merged([one.ours, two.ours]), await merged([one.theirs, two.theirs]));
});

test.run();
