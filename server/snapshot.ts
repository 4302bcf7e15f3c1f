import { AggregatorRegistry } from 'prom-client';
import type { Config } from '../config/schema.js';
import type { RecentTask } from './recent-tasks.js';
import { version } from './version.js';

/** What one process tells of itself. Plain data: it crosses to the other workers by JSON. */
export interface Report {
  /** As prom-client makes JSON of it. */
  readonly metrics: object;
  readonly recent: readonly RecentTask[];
  /** Of processes that have ended or do not answer: without what they are like now. */
  readonly isPast?: true;
}

/** The metrics of all processes of a node, in the Prometheus text format. */
export function metricsTextOf(reports: readonly Report[]): Promise<string> {
  return merged(reports).metrics();
}

/** The node as it is now, for the live page. Counts are since the start; who watches takes differences. */
export async function snapshotOf(
  reports: readonly Report[],
  { queues, tier_models }: Config,
): Promise<object> {
  const metrics = new Map<string, Value[]>();
  for (const { name, values } of (await merged(reports).getMetricsAsJSON()) as unknown as Metric[])
    metrics.set(name, values);
  const valuesOf = (name: string) => metrics.get(`worker_service_${name}`) ?? [];
  const sum = (name: string, labels: Labels) =>
    valuesOf(name)
      .filter((value) => matches(value, labels))
      .reduce((total, { value }) => total + value, 0);
  const tiers = Object.keys(tier_models).map((tier) => ({
    tier,
    limit_seconds: queues[tier]!.timeout,
    used: sum('slots_used', { tier }),
    limit: sum('slots_limit', { tier }),
    waiting: sum('slots_waiting', { tier }),
    completed: sum('tasks_total', { tier, status: 'completed' }),
    failed: sum('tasks_total', { tier, status: 'failed' }),
    durations: bucketsOf(valuesOf('task_duration_seconds'), tier),
  }));
  const named = (name: string, label: string) =>
    Object.fromEntries(valuesOf(name).map(({ labels, value }) => [labels[label]!, value]));
  return {
    at: Date.now(),
    version,
    workers: reports.filter(({ isPast }) => !isPast).length,
    tiers,
    tokens: valuesOf('tokens_total').map(({ labels, value }) => ({ ...labels, value })),
    outbox: { depth: sum('outbox_depth', {}), oldest_seconds: sum('outbox_oldest_seconds', {}) },
    breakers: named('endpoint_breaker', 'endpoint'),
    dependencies: named('dependency_status', 'dependency'),
    recent: newest(reports),
  };
}

const SHOWN = 50;

type Labels = Readonly<Record<string, string>>;

interface Value {
  readonly value: number;
  readonly labels: Labels;
  readonly metricName?: string;
}

interface Metric {
  readonly name: string;
  readonly values: Value[];
}

/** The last tasks of all processes. */
export function newest(reports: readonly Report[]): readonly RecentTask[] {
  const recent = reports.flatMap((report) => report.recent);
  return recent.sort((a, b) => b.finished_at - a.finished_at).slice(0, SHOWN);
}

export function merged(reports: readonly Report[]) {
  return AggregatorRegistry.aggregate(reports.map(({ metrics }) => metrics) as object[]);
}

function matches({ labels }: Value, wanted: Labels): boolean {
  return Object.entries(wanted).every(([name, value]) => labels[name] === value);
}

/** Upper bounds in seconds, and how many were within; over all domains. */
function bucketsOf(values: readonly Value[], tier: string): [bound: string, count: number][] {
  const buckets = new Map<string, number>();
  for (const { labels, value, metricName } of values) {
    if (labels.tier !== tier || metricName?.endsWith('_bucket') !== true) continue;
    buckets.set(String(labels.le), (buckets.get(String(labels.le)) ?? 0) + value);
  }
  return [...buckets];
}
