import { type Latencies, together } from './latencies.js';
import { type Metric, metric, type Recording } from './result.js';

/** What every load is measured by, in one round. */
export interface LoadRound {
  /** A second. */
  readonly rate: number;
  readonly perSecond: readonly number[];
  readonly latencies: Latencies;
  readonly cpuMicros: number;
}

/** The numbers of one server. @param what it is that it does: `tasks`, `answers` */
export function loadMetrics(name: string, what: string, rounds: readonly LoadRound[]): Metric[] {
  const of = (unit: string, title: string, better: Metric['better'], value: (round: LoadRound) => number) =>
    metric(`${name}: ${title}`, unit, rounds.map(value), { better });
  return [
    of('1/s', what, 'higher', ({ rate }) => rate),
    of('µs each', 'CPU', 'lower', ({ cpuMicros }) => cpuMicros),
    of('ms', 'p50', 'lower', ({ latencies }) => latencies.at(50)),
    of('ms', 'p95', 'lower', ({ latencies }) => latencies.at(95)),
    of('ms', 'p99', 'lower', ({ latencies }) => latencies.at(99)),
  ];
}

/** Answers that were no success, of which there must be none. */
export function failedMetric(name: string, rounds: readonly number[]): Metric {
  return metric(`${name}: failed`, 'answers', rounds, { better: 'lower', aim: { atMost: 0 } });
}

export function recordingOf(
  name: string,
  rounds: readonly Pick<LoadRound, 'latencies' | 'perSecond'>[],
): Recording {
  return {
    name,
    latency: together(rounds.map(({ latencies }) => latencies)).distribution(),
    perSecond: rounds.map(({ perSecond }) => perSecond),
  };
}
