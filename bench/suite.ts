import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from './arguments.js';
import { FORMAT, type ScenarioResult, type SuiteResult } from './result.js';
import type { Bench, Scenario } from './scenario.js';

/** Where scenarios are found: loaded when they are run, because each brings its servers' libraries. */
export type Scenarios = Readonly<Record<string, () => Promise<{ readonly scenario: Scenario }>>>;

/** Runs scenarios one after the other. One that throws is recorded as failed, and the others go on. */
export async function runSuite(
  scenarios: Scenarios,
  options: Extract<Command, { kind: 'run' }>,
  tell: (text: string) => void,
): Promise<SuiteResult> {
  const startedAt = new Date().toISOString();
  const results: ScenarioResult[] = [];
  for (const name of options.names) {
    const { scenario } = await scenarios[name]!();
    tell(`${name}: ${scenario.question}`);
    results.push(await runScenario(name, scenario, options, results, tell));
  }
  const { seed, rounds, seconds } = options;
  return {
    format: FORMAT,
    startedAt,
    machine: {
      node: process.version,
      platform: `${process.platform} ${process.arch}`,
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: availableParallelism(),
    },
    options: { seed, ...(rounds !== undefined && { rounds }), ...(seconds !== undefined && { seconds }) },
    scenarios: results,
  };
}

async function runScenario(
  name: string,
  scenario: Scenario,
  options: Extract<Command, { kind: 'run' }>,
  earlier: readonly ScenarioResult[],
  tell: (text: string) => void,
): Promise<ScenarioResult> {
  const directory = mkdtempSync(join(tmpdir(), 'worker-service-bench-'));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  process.once('exit', remove);
  const bench: Bench = {
    seed: options.seed,
    rounds: options.rounds ?? scenario.rounds,
    seconds: options.seconds ?? scenario.seconds,
    isShortened: options.seconds !== undefined,
    directory,
    measured: (from, metric) =>
      earlier.find(({ name }) => name === from)?.metrics.find(({ name }) => name === metric)?.value,
    tell: (text) => tell(`  ${text}`),
  };
  const { question } = scenario;
  try {
    return { name, question, ...(await scenario.run(bench)) };
  } catch (error) {
    const text = (error as Error).stack ?? String(error);
    tell(`  failed: ${text}`);
    return { name, question, metrics: [], recordings: [], notes: [], error: text };
  } finally {
    remove();
    process.off('exit', remove);
  }
}
