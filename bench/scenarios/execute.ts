import { join } from 'node:path';
import { closedLoop, type Round } from '../closed-loop.js';
import { together } from '../latencies.js';
import { type BenchProcess, serviceEnvironment, startProcess } from '../processes.js';
import { type Findings, metric, type Recording } from '../result.js';
import { ratios, takeTurns } from '../rounds.js';
import type { Bench, Scenario } from '../scenario.js';
import { startSimulators } from '../simulators/start.js';
import { taskMaker } from '../tasks.js';

/** An instant model of 20 chunks; all stages on; the floor relays only, in the same run. */
export const scenario: Scenario = {
  question: 'How many short tasks a second do one and two workers execute, beside a bare relay?',
  rounds: 5,
  seconds: 5,
  run,
};

async function run(bench: Bench): Promise<Findings> {
  const simulators = await startSimulators({
    kinds: ['gateway'],
    knobs: { gateway: { chunks: 20, output: shortAnswer } },
  });
  const gateway = simulators.gatewayUrl!;
  const started: BenchProcess[] = [];
  const start = async (name: string, workers: number) => {
    const environment = serviceEnvironment(join(bench.directory, name), gateway, CONFIGURATION, workers);
    const server = await startProcess('../server/main.js', [], environment);
    started.push(server);
    return loaded(server, bench, name);
  };
  try {
    const floor = await startProcess('floors/relay.js', [gateway]);
    started.push(floor);
    const rounds = await takeTurns(bench, {
      floor: loaded(floor, bench, 'floor'),
      one: await start('one', 1),
      two: await start('two', 2),
    });
    return findings(rounds);
  } finally {
    for (const server of started) await server.close();
    await simulators.close();
  }
}

/** What a model answers to a short task. */
export const shortAnswer = JSON.stringify({
  status: 'completed',
  content:
    'def fibonacci(n: int) -> int:\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a\n',
  summary: 'An iterative Fibonacci function.',
});

const CONNECTIONS = 64;
// A tier that holds as many tasks as there are connections.
const CONFIGURATION = `queues: {small: {concurrency: ${CONNECTIONS}, timeout: 120}}\n`;

function loaded(server: BenchProcess, { seed }: Bench, name: string): (seconds: number) => Promise<Round> {
  const next = taskMaker(seed, name);
  const body = () => JSON.stringify(next().data);
  return (seconds) => closedLoop(server, { connections: CONNECTIONS, seconds, path: '/execute', body });
}

function findings(rounds: Record<'floor' | 'one' | 'two', Round[]>): Findings {
  const { floor, one, two } = rounds;
  const rate = (of: readonly Round[]) => of.map(({ rate }) => rate);
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
      ...[
        ...numbers('floor', floor),
        ...numbers('service, one worker', one),
        ...numbers('service, two workers', two),
      ],
    ],
    recordings: [
      recording('floor', floor),
      recording('service, one worker', one),
      recording('service, two workers', two),
    ],
    notes: [
      `${CONNECTIONS} connections; the floor is uWebSockets.js in, undici out, deltas joined; CPU is of all processes and threads of a server.`,
    ],
  };
}

/** The numbers of one server. */
export function numbers(name: string, rounds: readonly Round[]) {
  const at = (percentile: number) => rounds.map(({ latencies }) => latencies.at(percentile));
  return [
    metric(
      `${name}: answers`,
      '1/s',
      rounds.map(({ rate }) => rate),
      { better: 'higher' },
    ),
    metric(
      `${name}: CPU`,
      'µs/answer',
      rounds.map(({ cpuMicros }) => cpuMicros),
      { better: 'lower' },
    ),
    metric(`${name}: p50`, 'ms', at(50), { better: 'lower' }),
    metric(`${name}: p95`, 'ms', at(95), { better: 'lower' }),
    metric(`${name}: p99`, 'ms', at(99), { better: 'lower' }),
    metric(
      `${name}: failed`,
      'answers',
      rounds.map(({ failed }) => failed),
      { better: 'lower', aim: { atMost: 0 } },
    ),
  ];
}

export function recording(name: string, rounds: readonly Round[]): Recording {
  return {
    name,
    latency: together(rounds.map(({ latencies }) => latencies)).distribution(),
    perSecond: rounds.map(({ perSecond }) => perSecond),
  };
}
