import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Receipt } from '../contracts/outcome.js';
import type { Pools } from '../pool/pools.js';
import type { Events } from './events/events.js';
import type { Gateway } from './gateway/gateway.js';
import type { Slots } from './slots.js';
import type { ArtifactStore, TaskRecord } from './store/store.js';

/** What the service counts, in the Prometheus text format. */
export interface Metrics {
  /** An HTTP request was answered. */
  answered(endpoint: string, status: number, seconds: number): void;
  /** A task has ended, for good or not. */
  ended(record: TaskRecord, receipt: Receipt, recordMs: number): void;
  /** This process's values, as prom-client merges them over a cluster. */
  readonly registry: Registry;
}

export interface MetricsParts {
  readonly pools: Pools;
  readonly slots: Slots;
  readonly gateway: Gateway;
  readonly store: ArtifactStore;
  readonly tiers: readonly string[];
  events(): Events | undefined;
}

/** Seconds; they straddle the limits of the shipped tiers (60, 120, 300 and 600 s). */
const DURATION_BUCKETS = [
  0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 90, 120, 180, 240, 300, 450, 600, 900,
];
const SHORT_BUCKETS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

export function openMetrics(parts: MetricsParts): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: 'worker_service_requests_total',
    help: 'HTTP requests answered.',
    labelNames: ['endpoint', 'status'],
    registers,
  });
  const latency = new Histogram({
    name: 'worker_service_request_latency_seconds',
    help: 'Time from the headers of a request to its answer.',
    labelNames: ['endpoint'],
    buckets: DURATION_BUCKETS,
    registers,
  });
  const tasks = new Counter({
    name: 'worker_service_tasks_total',
    help: 'Executions that have ended, by their outcome; code is empty when completed.',
    labelNames: ['tier', 'domain', 'status', 'code', 'final'],
    registers,
  });
  const duration = new Histogram({
    name: 'worker_service_task_duration_seconds',
    help: "Execution time of a task, to be held against its tier's limit.",
    labelNames: ['tier', 'domain'],
    buckets: DURATION_BUCKETS,
    registers,
  });
  const firstToken = new Histogram({
    name: 'worker_service_first_token_seconds',
    help: 'Time from a call of the gateway to the first bytes of its answer.',
    labelNames: ['tier', 'model'],
    buckets: DURATION_BUCKETS,
    registers,
  });
  const stages = new Histogram({
    name: 'worker_service_stage_seconds',
    help: 'Time of a task in each stage.',
    labelNames: ['tier', 'stage'],
    buckets: SHORT_BUCKETS,
    registers,
  });
  const overhead = new Histogram({
    name: 'worker_service_overhead_seconds',
    help: 'Execution time without waiting for slots, gateway and RAG service.',
    labelNames: ['tier'],
    buckets: SHORT_BUCKETS,
    registers,
  });
  const tokens = new Counter({
    name: 'worker_service_tokens_total',
    help: 'Tokens of all attempts.',
    labelNames: ['model', 'direction'],
    registers,
  });
  const attempts = new Counter({
    name: 'worker_service_attempts_total',
    help: 'Calls of the gateway: first, retry, repair, escalation, fallback; and how they ended (aborted: early).',
    labelNames: ['tier', 'kind', 'ended'],
    registers,
  });
  const context = new Counter({
    name: 'worker_service_context_total',
    help: 'Where the context of a task came from; degraded: the RAG service did not answer.',
    labelNames: ['status'],
    registers,
  });
  observe(parts, registers);
  return {
    registry,
    answered: (endpoint, status, seconds) => {
      requests.inc({ endpoint, status });
      latency.observe({ endpoint }, seconds);
    },
    ended: ({ outcome, domain, final }, receipt, recordMs) => {
      const tier = outcome.tier ?? '';
      const code = outcome.status === 'failed' ? outcome.code : '';
      tasks.inc({ tier, domain, status: outcome.status, code, final: String(final) });
      if (outcome.execution_time_ms !== undefined)
        duration.observe({ tier, domain }, outcome.execution_time_ms / 1000);
      if (outcome.overhead_ms !== undefined) overhead.observe({ tier }, outcome.overhead_ms / 1000);
      for (const [stage, ms] of Object.entries(outcome.timings ?? {}))
        stages.observe({ tier, stage }, ms / 1000);
      stages.observe({ tier, stage: 'record' }, recordMs / 1000);
      context.inc({ status: receipt.context.status });
      for (const attempt of receipt.attempts) {
        const { model, kind, ended } = attempt;
        attempts.inc({ tier: attempt.tier, kind, ended });
        tokens.inc({ model, direction: 'prompt' }, attempt.tokens.prompt);
        tokens.inc({ model, direction: 'completion' }, attempt.tokens.completion);
        if (attempt.first_token_ms !== undefined)
          firstToken.observe({ tier: attempt.tier, model }, attempt.first_token_ms / 1000);
      }
    },
  };
}

/** The values of all workers of a node as one text. */
export function mergedMetrics(workers: readonly object[]): Promise<string> {
  return AggregatorRegistry.aggregate(workers as object[]).metrics();
}

/** What is read when somebody asks. */
function observe({ pools, slots, gateway, store, tiers, events }: MetricsParts, registers: Registry[]): void {
  const gauge = (
    name: string,
    help: string,
    labelNames: string[],
    read: (self: Gauge) => unknown,
    // How the values of a node's workers become one.
    aggregator: 'sum' | 'min' | 'max' | 'average' = 'sum',
  ) =>
    new Gauge({
      aggregator,
      name: `worker_service_${name}`,
      help,
      labelNames,
      registers,
      async collect() {
        this.reset();
        await read(this);
      },
    });
  gauge('slots_used', 'Tasks that run.', ['tier'], (self) => {
    for (const [tier, { used }] of slots.usage()) self.set({ tier }, used);
  });
  gauge('slots_waiting', 'Tasks that wait for a slot.', ['tier'], (self) => {
    for (const [tier, { waiting }] of slots.usage()) self.set({ tier }, waiting);
  });
  gauge(
    'threads_utilization',
    'Share of their time that the threads of a tier work.',
    ['tier'],
    (self) => {
      for (const tier of tiers) self.set({ tier }, pools.utilization(tier));
    },
    'average',
  );
  gauge(
    'endpoint_breaker',
    'Circuit of an endpoint: 0 closed, 1 half open, 2 open.',
    ['endpoint'],
    (self) => {
      for (const [endpoint, { breaker }] of gateway.endpoints())
        self.set({ endpoint }, { closed: 0, half_open: 1, open: 2 }[breaker]);
    },
    'max',
  );
  gauge(
    'dependency_status',
    '1 when the dependency can be had, else 0.',
    ['dependency'],
    (self) => {
      self.set({ dependency: 'store' }, Number(store.state().ok));
      const broker = events()?.state();
      if (broker !== undefined) self.set({ dependency: 'rabbitmq' }, Number(broker.ok));
    },
    'min',
  );
  gauge(
    'outbox_under_way',
    'Events published and not confirmed, or confirmed and not marked.',
    [],
    (self) => {
      self.set(events()?.underWay ?? 0);
    },
  );
  gauge(
    'outbox_oldest_seconds',
    'Age of the oldest outcome whose event is not confirmed.',
    [],
    async (self) => {
      const [oldest] = store.state().ok ? await store.unpublished(1) : [];
      self.set(oldest === undefined ? 0 : (Date.now() - oldest.finishedAt) / 1000);
    },
    'max',
  );
}
