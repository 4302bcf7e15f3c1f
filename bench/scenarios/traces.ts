import { join } from 'node:path';
import type { Round } from '../closed-loop.js';
import { failedMetric, loadMetrics, recordingOf } from '../findings.js';
import { CALLERS, CALLERS_CONFIGURATION, shortTasks, startInstantModel } from '../instant-model.js';
import { type BenchProcess, serviceEnvironment, startProcess } from '../processes.js';
import { type Findings, metric } from '../result.js';
import { ratios, takeTurns } from '../rounds.js';
import type { Bench, Scenario } from '../scenario.js';

/** The same service three times; the short tasks of `execute`. */
export const scenario: Scenario = {
  question: 'What do traces cost, all of them and a tenth, beside none?',
  rounds: 5,
  seconds: 5,
  run,
};

async function run(bench: Bench): Promise<Findings> {
  const simulators = await startInstantModel();
  const started: BenchProcess[] = [];
  const begin = async (file: string, env: Record<string, string> = {}) => {
    const server = await startProcess(file, [], env);
    started.push(server);
    return server;
  };
  try {
    const collector = await begin('floors/collector.js');
    const service = async (name: string, env: Record<string, string>) => {
      const directory = join(bench.directory, name);
      const environment = serviceEnvironment(directory, simulators.gatewayUrl!, CALLERS_CONFIGURATION);
      const server = await begin('../server/main.js', { ...environment, ...env });
      return shortTasks(server, { seed: bench.seed, prefix: name, connections: CALLERS });
    };
    const OTEL_EXPORTER_OTLP_ENDPOINT = collector.url;
    return findings(
      await takeTurns(bench, {
        none: await service('none', {}),
        tenth: await service('tenth', { OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER_ARG: '0.1' }),
        all: await service('all', { OTEL_EXPORTER_OTLP_ENDPOINT }),
      }),
    );
  } finally {
    for (const server of started.reverse()) await server.close();
    await simulators.close();
  }
}

function findings(rounds: Record<'none' | 'tenth' | 'all', Round[]>): Findings {
  const rate = (of: readonly Round[]) => of.map(({ rate }) => rate);
  const servers = [
    ['no traces', rounds.none],
    ['a tenth', rounds.tenth],
    ['all', rounds.all],
  ] as const;
  return {
    metrics: [
      ...servers.slice(1).map(([name, of]) =>
        metric(`throughput, ${name} to none`, 'ratio', ratios(rate(of), rate(rounds.none)), {
          better: 'higher',
        }),
      ),
      ...servers.flatMap(([name, of]) => [
        ...loadMetrics(name, 'tasks', of),
        failedMetric(
          name,
          of.map(({ failed }) => failed),
        ),
      ]),
    ],
    recordings: servers.map(([name, of]) => recordingOf(name, of)),
    notes: [
      `${CALLERS} connections, a closed loop; the collector is a process of its own that takes all and keeps nothing.`,
    ],
  };
}
