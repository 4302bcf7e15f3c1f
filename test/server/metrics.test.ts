import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { type MetricsParts, openMetrics } from '../../server/metrics.js';
import { StoreUnavailable } from '../../server/store/store.js';

const test = suite('metrics of what is away');

test('a store that fails in the moment of the question leaves all other metrics', async () => {
  const parts = {
    pools: { waiting: () => 0, utilization: () => 0 },
    slots: { usage: () => new Map() },
    gateway: { endpoints: () => new Map() },
    rag: { counts: { answered: 3 } },
    queues: {},
    tierModels: {},
    events: () => ({ underWay: 2 }),
    dependencies: async () => [],
    store: {
      state: () => ({ ok: true }),
      unpublished: () => Promise.reject(new StoreUnavailable('away')),
    },
  } as unknown as MetricsParts;
  const { registry } = openMetrics(parts);
  const text = await registry.metrics();
  assert.match(text, /^\S*outbox_under_way 2$/m);
  assert.match(text, /result="answered"\} 3$/m);
  for (const name of ['outbox_depth', 'outbox_oldest_seconds'])
    assert.match(text, new RegExp(`^\\S*${name} 0$`, 'm'));
});

test.run();
