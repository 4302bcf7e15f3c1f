import { FORMAT, type Metric, metric, type ScenarioResult, type SuiteResult } from '../../bench/result.js';

/** A run with one scenario. */
export function aResult(scenario: Partial<ScenarioResult> = {}, seed = 1): SuiteResult {
  return {
    format: FORMAT,
    startedAt: '2026-01-02T03:04:05.678Z',
    machine: { node: 'v20.0.0', platform: 'linux x64', cpu: 'a CPU', cores: 2 },
    options: { seed },
    scenarios: [
      { name: 'execute', question: 'How many?', metrics: [], recordings: [], notes: [], ...scenario },
    ],
  };
}

export function withMetrics(...metrics: Metric[]): SuiteResult {
  return aResult({ metrics });
}

/** Tasks a second, of which more is better. */
export function tasksPerSecond(...rounds: number[]): Metric {
  return metric('tasks', '1/s', rounds, { better: 'higher' });
}
