import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { closedLoop, type Round } from '../closed-loop.js';
import { failedMetric, loadMetrics, recordingOf } from '../findings.js';
import { shortTasks, startInstantModel } from '../instant-model.js';
import { openLoop, type Seen } from '../open-loop.js';
import { type BenchProcess, serviceEnvironment, startProcess } from '../processes.js';
import { type Findings, metric } from '../result.js';
import { ratios, takeTurns } from '../rounds.js';
import type { Bench, Scenario } from '../scenario.js';
import { median } from '../statistics.js';
import { directCall, taskMaker } from '../tasks.js';

/** bench/peers/: the same job written the usual way, and the bare call through Portkey's gateway. */
export const scenario: Scenario = {
  question: 'How much more does the service do than what its users would pick instead?',
  rounds: 5,
  seconds: 5,
  run,
};

async function run(bench: Bench): Promise<Findings> {
  const simulators = await startInstantModel();
  const gateway = simulators.gatewayUrl!;
  const started: BenchProcess[] = [];
  const start = async (...process: Parameters<typeof startProcess>) => {
    started.push(await startProcess(...process));
    return started.at(-1)!;
  };
  try {
    const service = await start(
      '../server/main.js',
      [],
      serviceEnvironment(join(bench.directory, 'service'), gateway, CONFIGURATION),
    );
    const usual = await start('peers/usual.js', [gateway, join(bench.directory, 'usual')]);
    const portkey = await start('peers/portkey.js', [], { NODE_ENV: 'production' });
    const closed = await takeTurns(bench, {
      service: tasksFor(service, bench.seed, 'service'),
      usual: tasksFor(usual, bench.seed, 'usual'),
      portkey: (seconds) =>
        closedLoop(portkey, {
          connections: CONNECTIONS,
          seconds,
          path: '/v1/chat/completions',
          headers: { 'x-portkey-provider': 'openai', 'x-portkey-custom-host': gateway },
          body: bareCall(),
        }),
    });
    const rate = median(closed.usual.map(({ rate }) => rate));
    bench.tell(`open loop at the peer's ${Math.round(rate)} tasks a second`);
    const open = await takeTurns(bench, {
      service: offered(service, bench.seed, 'service-open', rate),
      usual: offered(usual, bench.seed, 'usual-open', rate),
    });
    return findings(closed, open, rate);
  } finally {
    for (const server of started) await server.close();
    await simulators.close();
  }
}

const CONNECTIONS = 64;
// The tier whose vocabulary the peer's tokenizer knows, with room for all connections; more wait, as they do at the peer.
const CONFIGURATION = `queues: {large: {concurrency: ${CONNECTIONS}, timeout: 120, max_waiting: 100000}}\n`;

function tasksFor(server: BenchProcess, seed: number, prefix: string) {
  return shortTasks(server, { seed, prefix, connections: CONNECTIONS, choice: { tier: 'large' } });
}

function offered(server: BenchProcess, seed: number, prefix: string, rate: number) {
  const next = taskMaker(seed, prefix, { tier: 'large' });
  const target = { url: `${server.url}/execute`, body: () => JSON.stringify(next().data) };
  return (seconds: number) => openLoop(target, { rate, seconds, seed });
}

/** As long a prompt as the others send. */
function bareCall(): () => string {
  const file = new URL('../../../prompts/workers/code_general.md', import.meta.url);
  const body = JSON.stringify(directCall(readFileSync(file, 'utf8'), 'openai/gpt-oss-20b'));
  return () => body;
}

function findings(
  { service, usual, portkey }: Record<'service' | 'usual' | 'portkey', Round[]>,
  open: Record<'service' | 'usual', Seen[]>,
  rate: number,
): Findings {
  const rates = (rounds: readonly Round[]) => rounds.map(({ rate }) => rate);
  const servers = [
    ['service', service],
    ['usual way', usual],
    ['Portkey', portkey],
  ] as const;
  const p99 = (rounds: readonly Seen[]) => rounds.map(({ total }) => total.at(99));
  const failed = (rounds: readonly Seen[]) => rounds.map(({ failed }) => failed);
  const seen = (name: string, rounds: readonly Seen[]) =>
    recordingOf(
      name,
      rounds.map(({ total, perSecond }) => ({ latencies: total, perSecond })),
    );
  return {
    metrics: [
      metric('of the usual way', 'ratio', ratios(rates(service), rates(usual)), {
        better: 'higher',
        aim: { atLeast: 2 },
      }),
      metric('of the bare call through Portkey', 'ratio', ratios(rates(service), rates(portkey)), {
        better: 'higher',
        aim: { atLeast: 6 },
      }),
      metric(
        "p99 at the peer's saturation rate, of the peer's",
        'ratio',
        ratios(p99(open.service), p99(open.usual)),
        {
          better: 'lower',
          aim: { atMost: 0.5 },
        },
      ),
      ...servers.flatMap(([name, rounds]) => [
        ...loadMetrics(name, 'answers', rounds),
        failedMetric(
          name,
          rounds.map(({ failed }) => failed),
        ),
      ]),
      metric("service at the peer's rate: p99", 'ms', p99(open.service), { better: 'lower' }),
      failedMetric("service at the peer's rate", failed(open.service)),
      metric('usual way at its own rate: p99', 'ms', p99(open.usual), { better: 'lower' }),
      metric('usual way at its own rate: failed', 'answers', failed(open.usual), { better: 'lower' }),
    ],
    recordings: [
      ...servers.map(([name, rounds]) => recordingOf(name, rounds)),
      seen("service at the peer's rate", open.service),
      seen('usual way at its own rate', open.usual),
    ],
    notes: [
      `${CONNECTIONS} connections, an instant model of 20 chunks, one process each. The usual way: Fastify, openai, ajv, gpt-tokenizer, LMDB.`,
      `Saturation rate: ${Math.round(rate)} tasks a second, the median of the usual way's rounds, offered as a Poisson process. Its queue is unstable there: its p99 grows with the length of a round.`,
    ],
  };
}
