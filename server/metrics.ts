import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Config } from '../config/schema.js';
import type { Receipt } from '../contracts/outcome.js';
import type { Usage } from '../contracts/threads.js';
import type { Pools } from '../pool/pools.js';
import type { Gateway } from './gateway/gateway.js';
import type { Rag } from './rag.js';
import { CounterSeries, HistogramSeries } from './series.js';
import type { Slots } from './slots.js';
import { type ArtifactStore, StoreUnavailable, type TaskRecord } from './store/store.js';

/** What the service counts, in the Prometheus text format. */
export interface Metrics {
  /** An HTTP request was answered. */
  answered(endpoint: string, status: number, seconds: number): void;
  /** A task has ended, for good or not. */
  ended(record: TaskRecord, receipt: Receipt, recordMs: number): void;
  /** The gateway has counted the tokens of a call of a tier; `counted` is what our tokenizer makes of the same. */
  counted(tier: string, said: Usage, counted: Usage): void;
  /** This process's values, as prom-client merges them over a cluster. */
  readonly registry: Registry;
}

export interface MetricsParts {
  readonly pools: Pools;
  readonly slots: Slots;
  readonly gateway: Gateway;
  readonly store: ArtifactStore;
  readonly rag: Rag;
  readonly queues: Config['queues'];
  readonly tierModels: Config['tier_models'];
  /** What is known of the broker; undefined when none is configured. */
  events(): { readonly underWay: number } | undefined;
  dependencies(): Promise<readonly (readonly [name: string, ok: boolean])[]>;
}

/** Seconds; the limits of the tiers are among them, so that what is within a limit can be told from what is not. */
const DURATION_BUCKETS = [
  0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 90, 120, 180, 240, 300, 450, 600, 900,
];
const SHORT_BUCKETS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

export function openMetrics(parts: MetricsParts): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  // Of a node the worst worker counts, which would not show in the mean of all.
  for (const share of ['p50', 'p90', 'p99']) {
    const lag = registry.getSingleMetric(`nodejs_eventloop_lag_${share}_seconds`);
    if (lag !== undefined) Object.assign(lag, { aggregator: 'max' });
  }
  const limits = Object.values(parts.queues).map(({ timeout }) => timeout);
  const durations = [...new Set([...DURATION_BUCKETS, ...limits])].sort((a, b) => a - b);
  const counter = (name: string, help: string, labels: string[]) =>
    new CounterSeries(`worker_service_${name}`, help, labels, registry);
  const histogram = (name: string, help: string, labels: string[], buckets: readonly number[]) =>
    new HistogramSeries(`worker_service_${name}`, help, labels, buckets, registry);
  const requests = counter('requests_total', 'HTTP requests answered.', ['endpoint', 'status']);
  const latency = histogram(
    'request_latency_seconds',
    'Time from the headers of a request to its answer.',
    ['endpoint'],
    durations,
  );
  const tasks = counter(
    'tasks_total',
    'Executions that have ended, by their outcome; code is empty when completed.',
    ['tier', 'domain', 'status', 'code', 'final'],
  );
  const duration = histogram(
    'task_duration_seconds',
    "Execution time of a task, to be held against its tier's limit; the tier is the one that ran last.",
    ['tier', 'domain'],
    durations,
  );
  const firstToken = histogram(
    'first_token_seconds',
    'Time from a call of the gateway to the first bytes of its answer.',
    ['tier', 'domain', 'model'],
    durations,
  );
  const stages = histogram(
    'stage_seconds',
    'Time of a task in each stage.',
    ['tier', 'stage'],
    SHORT_BUCKETS,
  );
  const overhead = histogram(
    'overhead_seconds',
    'Execution time without waiting for slots, gateway and RAG service.',
    ['tier'],
    SHORT_BUCKETS,
  );
  const tokens = counter('tokens_total', 'Tokens of all attempts.', ['model', 'direction']);
  const usage = counter(
    'usage_tokens_total',
    'Tokens of the calls whose gateway counts them: as the gateway does, and as the tokenizer of the service does.',
    ['model', 'direction', 'counted_by'],
  );
  const attempts = counter(
    'attempts_total',
    'Calls of the gateway: first, retry, repair, escalation, fallback; and how they ended (aborted: early; not_called: the endpoint was known to be down, was being tried, or had asked for a pause).',
    ['tier', 'kind', 'ended'],
  );
  const context = counter(
    'context_total',
    'Where the context of a task came from; degraded: the RAG service did not answer.',
    ['status'],
  );
  observe(parts, [registry]);
  return {
    registry,
    answered: (endpoint, status, seconds) => {
      requests.add([endpoint, String(status)]);
      latency.observe([endpoint], seconds);
    },
    counted: (tier, said, counted) => {
      const { model } = parts.tierModels[tier]!;
      for (const direction of ['prompt', 'completion'] as const) {
        usage.add([model, direction, 'gateway'], said[direction]);
        usage.add([model, direction, 'tokenizer'], counted[direction]);
      }
    },
    ended: ({ outcome, domain, final }, receipt, recordMs) => {
      const tier = outcome.tier ?? '';
      const code = outcome.status === 'failed' ? outcome.code : '';
      tasks.add([tier, domain, outcome.status, code, String(final)]);
      if (outcome.execution_time_ms !== undefined)
        duration.observe([tier, domain], outcome.execution_time_ms / 1000);
      if (outcome.overhead_ms !== undefined) overhead.observe([tier], outcome.overhead_ms / 1000);
      const { timings } = outcome;
      for (const stage in timings)
        stages.observe([tier, stage], timings[stage as keyof typeof timings] / 1000);
      stages.observe([tier, 'record'], recordMs / 1000);
      context.add([receipt.context.status]);
      for (const attempt of receipt.attempts) {
        const { kind, ended } = attempt;
        // As configured: what a gateway calls it may change with each call, and each name would be a series.
        const { model } = parts.tierModels[attempt.tier]!;
        attempts.add([attempt.tier, kind, ended]);
        tokens.add([model, 'prompt'], attempt.tokens.prompt);
        tokens.add([model, 'completion'], attempt.tokens.completion);
        if (attempt.first_token_ms !== undefined)
          firstToken.observe([attempt.tier, domain, model], attempt.first_token_ms / 1000);
      }
    },
  };
}

/** What is read when somebody asks. */
function observe(
  { pools, slots, gateway, rag, store, tierModels, events, dependencies }: MetricsParts,
  registers: Registry[],
): void {
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
    'slots_limit',
    'Tasks that may run on the node.',
    ['tier'],
    (self) => {
      for (const [tier, { limit }] of slots.usage()) self.set({ tier }, limit);
    },
    'max',
  );
  gauge('threads_waiting', 'Jobs that wait for a thread.', ['tier'], (self) => {
    for (const tier of Object.keys(tierModels)) self.set({ tier }, pools.waiting(tier));
  });
  new Counter({
    name: 'worker_service_rag_queries_total',
    help: 'Questions to the RAG service: hit (of the cache), joined (to an equal one), answered, failed, not_asked (it hangs).',
    labelNames: ['result'],
    registers,
    collect() {
      this.reset();
      for (const [result, count] of Object.entries(rag.counts)) this.inc({ result }, count);
    },
  });
  gauge(
    'threads_utilization',
    'Share of their time that the threads of a tier work.',
    ['tier'],
    (self) => {
      for (const tier of Object.keys(tierModels)) self.set({ tier }, pools.utilization(tier));
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
    async (self) => {
      for (const [dependency, ok] of await dependencies()) self.set({ dependency }, Number(ok));
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
  /**
   * None without a broker, for nobody waits for them; none while the store is away, which the state may not know yet: the
   * other metrics are wanted most then.
   */
  const unpublished = async (most: number) => {
    if (events() === undefined) return [];
    try {
      return store.state().ok ? await store.unpublished(most) : [];
    } catch (error) {
      if (error instanceof StoreUnavailable) return [];
      throw error;
    }
  };
  gauge(
    'outbox_depth',
    `Outcomes whose event is not confirmed, counted up to ${MOST_COUNTED}.`,
    [],
    async (self) => {
      self.set((await unpublished(MOST_COUNTED)).length);
    },
    'max',
  );
  gauge(
    'outbox_oldest_seconds',
    'Age of the oldest outcome whose event is not confirmed.',
    [],
    async (self) => {
      const [oldest] = await unpublished(1);
      self.set(oldest === undefined ? 0 : (Date.now() - oldest.finishedAt) / 1000);
    },
    'max',
  );
}

const MOST_COUNTED = 1000;
