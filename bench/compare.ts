import { aimText, FORMAT, type Metric, type SuiteResult } from './result.js';

/** One metric that both runs have. */
export interface Change {
  readonly scenario: string;
  readonly metric: string;
  readonly unit: string;
  readonly before: number;
  readonly after: number;
  /** What a difference must exceed: the larger of the two spreads, twice it where a run has three rounds. */
  readonly noise: number;
  readonly verdict: 'better' | 'worse' | 'other' | 'same' | 'undecided';
}

export interface Comparison {
  readonly changes: readonly Change[];
  /** `scenario: metric` of what only one of the runs has. */
  readonly onlyBefore: readonly string[];
  readonly onlyAfter: readonly string[];
  /** Why the runs are not quite comparable. */
  readonly warnings: readonly string[];
}

/**
 * What changed by more than the noise. A metric has changed when its median moved by more than the larger of the
 * spreads of its rounds, or by twice that with three rounds; with fewer on either side the spread says too little to
 * decide. Of equal runs with normal noise that names one metric in 170 with three rounds, one in 80 with four and one in
 * 300 with five (by simulation; once the spread of three would be one in 16).
 */
export function compare(before: SuiteResult, after: SuiteResult): Comparison {
  const [old, recent] = [metricsOf(before), metricsOf(after)];
  return {
    changes: [...recent].flatMap(([key, { scenario, metric }]) => {
      const was = old.get(key);
      return was === undefined ? [] : [changeOf(scenario, was.metric, metric)];
    }),
    onlyBefore: [...old.keys()].filter((key) => !recent.has(key)),
    onlyAfter: [...recent.keys()].filter((key) => !old.has(key)),
    warnings: differences(before, after),
  };
}

/** @throws {Error} when the text is not the result of a run. */
export function readResult(text: string, name: string): SuiteResult {
  let result: Partial<SuiteResult> | null;
  try {
    result = JSON.parse(text) as Partial<SuiteResult> | null;
  } catch (error) {
    throw new Error(`${name} is not JSON: ${(error as Error).message}`);
  }
  if (result?.format !== FORMAT) throw new Error(`${name} is not a result of this suite (${FORMAT})`);
  return result as SuiteResult;
}

function metricsOf(result: SuiteResult): Map<string, { scenario: string; metric: Metric }> {
  return new Map(
    result.scenarios.flatMap(({ name, metrics }) =>
      metrics.map((metric) => [`${name}: ${metric.name}`, { scenario: name, metric }] as const),
    ),
  );
}

function changeOf(scenario: string, before: Metric, after: Metric): Change {
  const factor = fewestRounds(before, after) <= FEWEST_ROUNDS ? 2 : 1;
  const noise = factor * Math.max(before.spread, after.spread);
  return {
    scenario,
    metric: after.name,
    unit: after.unit,
    before: before.value,
    after: after.value,
    noise,
    verdict: verdictOf(before, after, noise),
  };
}

function verdictOf(before: Metric, after: Metric, noise: number): Change['verdict'] {
  // JSON has no NaN: what could not be measured is null there.
  if (!Number.isFinite(before.value) || !Number.isFinite(after.value)) return 'undecided';
  if (fewestRounds(before, after) < FEWEST_ROUNDS) return 'undecided';
  const difference = after.value - before.value;
  if (Math.abs(difference) <= noise) return 'same';
  if (after.better === 'neither') return 'other';
  return difference > 0 === (after.better === 'higher') ? 'better' : 'worse';
}

function fewestRounds(before: Metric, after: Metric): number {
  return Math.min(before.rounds.length, after.rounds.length);
}

const FEWEST_ROUNDS = 3;

function differences(before: SuiteResult, after: SuiteResult): string[] {
  const facts = (result: SuiteResult) => ({
    node: result.machine.node,
    cpu: result.machine.cpu,
    cores: String(result.machine.cores),
    seed: String(result.options.seed),
    seconds: String(result.options.seconds ?? 'default'),
    rounds: String(result.options.rounds ?? 'default'),
  });
  const [old, recent] = [facts(before), facts(after)];
  const aims = new Map(
    before.scenarios.flatMap(({ name, metrics }) =>
      metrics.map((metric) => [`${name}: ${metric.name}`, aimText(metric.aim)] as const),
    ),
  );
  return [
    ...(Object.keys(old) as (keyof typeof old)[])
      .filter((name) => old[name] !== recent[name])
      .map((name) => `${name}: ${old[name]} before, ${recent[name]} after`),
    ...after.scenarios.flatMap(({ name, metrics }) =>
      metrics
        .filter((metric) => {
          const was = aims.get(`${name}: ${metric.name}`);
          return was !== undefined && was !== aimText(metric.aim);
        })
        .map((metric) => `${name}: ${metric.name}: the aim is another one`),
    ),
  ];
}
