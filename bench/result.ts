import { availableParallelism } from 'node:os';
import { median, range, rounded } from './statistics.js';

/** What one run of the suite found; its JSON file. */
export interface SuiteResult {
  readonly format: typeof FORMAT;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly machine: Machine;
  readonly options: { readonly seed: number; readonly rounds?: number; readonly seconds?: number };
  readonly scenarios: readonly ScenarioResult[];
}

export const FORMAT = 'worker-service-bench/1';

export interface Machine {
  readonly node: string;
  readonly platform: string;
  readonly cpu: string;
  readonly cores: number;
}

export interface ScenarioResult extends Findings {
  readonly name: string;
  readonly question: string;
  /** Why it could not be run to its end. */
  readonly error?: string;
}

/** What a scenario returns. */
export interface Findings {
  readonly metrics: readonly Metric[];
  readonly recordings: readonly Recording[];
  /** What one must know to read the numbers. */
  readonly notes: readonly string[];
}

/** One number of a scenario, as often as it was measured. */
export interface Metric {
  readonly name: string;
  readonly unit: string;
  readonly rounds: readonly number[];
  /** The median of the rounds. */
  readonly value: number;
  /** Largest minus smallest round, in the metric's unit. */
  readonly spread: number;
  readonly better: 'higher' | 'lower' | 'neither';
  readonly aim?: Aim;
  /** `unknown` where this machine cannot show it. */
  readonly met?: 'yes' | 'no' | 'unknown';
}

export interface Aim {
  readonly atLeast?: number;
  readonly atMost?: number;
  /** Cores without which the aim says nothing. */
  readonly cores?: number;
}

/** Raw data: the latencies of all rounds together, and the answers of every second. */
export interface Recording {
  readonly name: string;
  readonly latency?: LatencyDistribution;
  /** Answers in each second, a list a round. */
  readonly perSecond: readonly (readonly number[])[];
}

export interface LatencyDistribution {
  readonly count: number;
  /** Pairs of percentile and milliseconds. */
  readonly percentiles: readonly (readonly [percentile: number, ms: number])[];
  /** Microseconds, as HdrHistogram's compressed encoding in base64 (V2), which its tools read. */
  readonly hdr: string;
}

/** @param rounds what each round measured. */
export function metric(
  name: string,
  unit: string,
  rounds: readonly number[],
  { better = 'neither', aim }: { readonly better?: Metric['better']; readonly aim?: Aim } = {},
): Metric {
  const value = rounded(median(rounds));
  return {
    name,
    unit,
    rounds: rounds.map(rounded),
    value,
    spread: rounded(range(rounds)),
    better,
    ...(aim !== undefined && { aim, met: verdict(value, aim) }),
  };
}

function verdict(value: number, { atLeast, atMost, cores }: Aim): 'yes' | 'no' | 'unknown' {
  if (!Number.isFinite(value) || (cores !== undefined && availableParallelism() < cores)) return 'unknown';
  return value >= (atLeast ?? value) && value <= (atMost ?? value) ? 'yes' : 'no';
}

/** The aim in words, empty when there is none. */
export function aimText(aim: Aim | undefined): string {
  if (aim === undefined) return '';
  const bounds = [
    ...(aim.atLeast === undefined ? [] : [`≥ ${aim.atLeast}`]),
    ...(aim.atMost === undefined ? [] : [`≤ ${aim.atMost}`]),
  ];
  return bounds.join(' and ') + (aim.cores === undefined ? '' : `, from ${aim.cores} cores`);
}
