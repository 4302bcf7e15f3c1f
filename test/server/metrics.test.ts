import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { type MetricsParts, openMetrics } from '../../server/metrics.js';
import { metricsTextOf } from '../../server/snapshot.js';
import { StoreUnavailable } from '../../server/store/store.js';

const test = suite('metrics');

function registryOf(more: object = {}) {
  const parts = {
    pools: { waiting: () => 0, utilization: () => 0 },
    slots: { usage: () => new Map() },
    gateway: { endpoints: () => new Map() },
    rag: { counts: { answered: 3 } },
    queues: {},
    tierModels: {},
    events: () => ({ underWay: 2 }),
    dependencies: async () => [],
    store: { state: () => ({ ok: true }), unpublished: async () => [] },
    ...more,
  } as unknown as MetricsParts;
  return openMetrics(parts).registry;
}

test('a store that fails in the moment of the question leaves all other metrics', async () => {
  const unpublished = () => Promise.reject(new StoreUnavailable('away'));
  const registry = registryOf({ store: { state: () => ({ ok: true }), unpublished } });
  const text = await registry.metrics();
  assert.match(text, /^\S*outbox_under_way 2$/m);
  assert.match(text, /result="answered"\} 3$/m);
  for (const name of ['outbox_depth', 'outbox_oldest_seconds'])
    assert.match(text, new RegExp(`^\\S*${name} 0$`, 'm'));
});

test('without a broker no event waits for one, whatever a run with one has left behind', async () => {
  const unpublished = async () => [{ finishedAt: Date.now() - 60_000 }];
  const store = { state: () => ({ ok: true }), unpublished };
  const names = ['outbox_depth', 'outbox_oldest_seconds'];
  const valuesOf = async (more: object) => {
    const text = await registryOf({ store, ...more }).metrics();
    return names.map((name) => Math.round(Number(new RegExp(`^\\S*${name} (\\S+)$`, 'm').exec(text)![1])));
  };
  assert.deepEqual(await valuesOf({}), [1, 60]);
  assert.deepEqual(await valuesOf({ events: () => undefined }), [0, 0]);
});

test('the delay of the event loop of a node is that of its worst worker', async () => {
  const name = 'nodejs_eventloop_lag_p99_seconds';
  const metrics = await registryOf().getMetricsAsJSON();
  const reports = [0.2, 1.5, 0.1].map((value) => ({
    metrics: metrics.map((metric) =>
      metric.name === name ? { ...metric, values: [{ value, labels: {} }] } : metric,
    ),
    recent: [],
  }));
  assert.match(await metricsTextOf(reports), new RegExp(`^${name} 1.5$`, 'm'));
});

test.run();
