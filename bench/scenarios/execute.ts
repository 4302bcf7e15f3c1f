import { join } from 'node:path';
import type { Round } from '../closed-loop.js';
import { failedMetric, loadMetrics, recordingOf } from '../findings.js';
import { CALLERS, CALLERS_CONFIGURATION, shortTasks, startInstantModel } from '../instant-model.js';
import { type BenchProcess, serviceEnvironment, startProcess } from '../processes.js';
import { type Findings, metric } from '../result.js';
import { ratios, takeTurns } from '../rounds.js';
import type { Bench, Scenario } from '../scenario.js';

/** An instant model of 20 chunks; all stages on; the floor relays only, in the same run. */
export const scenario: Scenario = {
  question: 'How many short tasks a second do one and two workers execute, beside a bare relay?',
  rounds: 5,
  seconds: 5,
  run,
};

async function run(bench: Bench): Promise<Findings> {
  const simulators = await startInstantModel();
  const gateway = simulators.gatewayUrl!;
  const started: BenchProcess[] = [];
  const start = async (name: string, workers: number) => {
    const environment = serviceEnvironment(
      join(bench.directory, name),
      gateway,
      CALLERS_CONFIGURATION,
      workers,
    );
    const server = await startProcess('../server/main.js', [], environment);
    started.push(server);
    return loaded(server, name);
  };
  const loaded = (server: BenchProcess, prefix: string) =>
    shortTasks(server, { seed: bench.seed, prefix, connections: CALLERS });
  try {
    const floor = await startProcess('floors/relay.js', [gateway]);
    started.push(floor);
    const rounds = await takeTurns(bench, {
      floor: loaded(floor, 'floor'),
      one: await start('one', 1),
      two: await start('two', 2),
    });
    return findings(rounds);
  } finally {
    for (const server of started) await server.close();
    await simulators.close();
  }
}

function findings(rounds: Record<'floor' | 'one' | 'two', Round[]>): Findings {
  const { floor, one, two } = rounds;
  const rate = (of: readonly Round[]) => of.map(({ rate }) => rate);
  const servers = [
    ['floor', floor],
    ['service, one worker', one],
    ['service, two workers', two],
  ] as const;
  return {
    metrics: [
      metric('of the floor, one worker', 'ratio', ratios(rate(one), rate(floor)), {
        better: 'higher',
        aim: { atLeast: 0.6 },
      }),
      metric('two workers to one', 'ratio', ratios(rate(two), rate(one)), {
        better: 'higher',
        aim: { atLeast: 1.6, cores: 4 },
      }),
      ...servers.flatMap(([name, rounds]) => [
        ...loadMetrics(name, 'tasks', rounds),
        failedMetric(
          name,
          rounds.map(({ failed }) => failed),
        ),
      ]),
    ],
    recordings: servers.map(([name, rounds]) => recordingOf(name, rounds)),
    notes: [
      `${CALLERS} connections; the floor is uWebSockets.js in, undici out, deltas joined; CPU is of all processes and threads of a server.`,
    ],
  };
}
