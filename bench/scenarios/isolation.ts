import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { failedMetric, recordingOf } from '../findings.js';
import { startInstantModel } from '../instant-model.js';
import { callers, openLoop, type Seen, type Target } from '../open-loop.js';
import { type BenchProcess, serviceEnvironment, startProcess } from '../processes.js';
import { type Findings, metric } from '../result.js';
import { ratios } from '../rounds.js';
import type { Bench, Scenario } from '../scenario.js';
import { startSimulators } from '../simulators/start.js';
import { directCall, taskMaker } from '../tasks.js';

/** `tiny` at a steady rate, without and with callers who keep `large` full of outputs of 1 MB. */
export const scenario: Scenario = {
  question: 'What becomes of the p99 of `tiny` while `large` is saturated with outputs of 1 MB?',
  rounds: 3,
  seconds: 8,
  run,
};

async function run(bench: Bench): Promise<Findings> {
  // One of its own for each tier: what a simulator does for the one is not to slow down the other.
  const simulators = await startInstantModel();
  const simulatorsOfLarge = await startSimulators({
    kinds: ['gateway'],
    knobs: { gateway: { chunkTokens: 8, outputBytes: 1_000_000 } },
  });
  const [gateway, gatewayOfLarge] = [simulators.gatewayUrl!, simulatorsOfLarge.gatewayUrl!];
  const service = await startProcess(
    '../server/main.js',
    [],
    serviceEnvironment(join(bench.directory, 'service'), gateway, configurationOf(gatewayOfLarge)),
  );
  const usual = await startProcess('peers/usual.js', [
    gateway,
    join(bench.directory, 'usual'),
    gatewayOfLarge,
  ]);
  try {
    const measures = {
      service: measureOf(
        tinyAt(service, bench.seed, 'service'),
        largeAt(service, bench.seed, 'service'),
        bench,
      ),
      usual: measureOf(tinyAt(usual, bench.seed, 'usual'), largeAt(usual, bench.seed, 'usual'), bench),
      machine: measureOf(directly(gateway), largeAt(service, bench.seed, 'machine'), bench),
    };
    const rounds: Record<keyof typeof measures, Pair[]> = { service: [], usual: [], machine: [] };
    for (const measure of Object.values(measures)) await measure(Math.min(2, bench.seconds));
    for (let round = 0; round < bench.rounds; round++) {
      bench.tell(`round ${round + 1} of ${bench.rounds}`);
      for (const name of ['service', 'usual', 'machine'] as const)
        rounds[name].push(await measures[name](bench.seconds));
    }
    return findings(rounds);
  } finally {
    await service.close();
    await usual.close();
    await simulators.close();
    await simulatorsOfLarge.close();
  }
}

/** `tiny` alone, and beside a full `large`. */
interface Pair {
  readonly idle: Seen;
  readonly beside: Seen;
  readonly large: Seen;
}

const RATE = 50;
/** More than the slots of `large`, which the shipped configuration has. */
const LARGE_CALLERS = 8;

function configurationOf(gatewayOfLarge: string): string {
  return `models: {"openai/gpt-oss-20b": {context_window: 1000000, max_output_tokens: 600000}}
queues: {tiny: {concurrency: 10, timeout: 60}, large: {concurrency: 2, timeout: 300}}
endpoints: {vllm_gpu: {url: "${gatewayOfLarge}"}}
`;
}

function measureOf(tiny: Target, large: Target, { seed }: Bench): (seconds: number) => Promise<Pair> {
  return async (seconds) => {
    const idle = await openLoop(tiny, { rate: RATE, seconds, seed });
    const saturating = callers(large, LARGE_CALLERS, seconds + FILL_SECONDS);
    await new Promise((resolve) => setTimeout(resolve, FILL_SECONDS * 1000));
    const beside = await openLoop(tiny, { rate: RATE, seconds, seed });
    return { idle, beside, large: await saturating };
  };
}

/** Until `large` is full. */
const FILL_SECONDS = 1;

function tinyAt({ url }: BenchProcess, seed: number, prefix: string): Target {
  const next = taskMaker(seed, `${prefix}-tiny`, { tier: 'tiny' });
  return { url: `${url}/execute`, body: () => JSON.stringify(next().data) };
}

function largeAt({ url }: BenchProcess, seed: number, prefix: string): Target {
  const next = taskMaker(seed, `${prefix}-large`, { tier: 'large' });
  return { url: `${url}/execute`, body: () => JSON.stringify(next().data) };
}

function directly(gatewayUrl: string): Target {
  const system = readFileSync(new URL('../../../prompts/workers/code_general.md', import.meta.url), 'utf8');
  const body = JSON.stringify(directCall(system, 'gemma3:4b'));
  return { url: `${gatewayUrl}/chat/completions`, body: () => body };
}

function findings({ service, usual, machine }: Record<'service' | 'usual' | 'machine', Pair[]>): Findings {
  const p99 = (pairs: readonly Pair[], when: 'idle' | 'beside') =>
    pairs.map((pair) => pair[when].total.at(99));
  const growth = (pairs: readonly Pair[]) => ratios(p99(pairs, 'beside'), p99(pairs, 'idle'));
  const failed = (pairs: readonly Pair[]) =>
    pairs.map(({ idle, beside, large }) => idle.failed + beside.failed + large.failed);
  const recordings = (name: string, pairs: readonly Pair[]) =>
    (['idle', 'beside'] as const).map((when) =>
      recordingOf(
        `${name}: tiny ${when === 'idle' ? 'alone' : 'beside large'}`,
        pairs.map((pair) => ({ latencies: pair[when].total, perSecond: pair[when].perSecond })),
      ),
    );
  const of = (name: string, pairs: readonly Pair[]) => [
    metric(`${name}: tiny alone, p99`, 'ms', p99(pairs, 'idle'), { better: 'lower' }),
    metric(`${name}: tiny beside large, p99`, 'ms', p99(pairs, 'beside'), { better: 'lower' }),
    metric(
      `${name}: large tasks`,
      '1/round',
      pairs.map(({ large }) => large.total.count),
      { better: 'higher' },
    ),
    failedMetric(name, failed(pairs)),
  ];
  return {
    metrics: [
      metric('service: p99 of tiny, of idle', 'ratio', growth(service), {
        better: 'lower',
        aim: { atMost: 1.5 },
      }),
      metric('usual way: p99 of tiny, of idle', 'ratio', growth(usual), { better: 'lower' }),
      metric('without a service: p99 of tiny, of idle', 'ratio', growth(machine), { better: 'lower' }),
      ...of('service', service),
      ...of('usual way', usual),
      ...of('without a service', machine),
    ],
    recordings: [
      ...recordings('service', service),
      ...recordings('usual way', usual),
      ...recordings('direct', machine),
    ],
    notes: [
      `tiny at ${RATE}/s, ${LARGE_CALLERS} callers on large. The usual way has no tiers: it takes all that are offered.`,
      '“Without a service” calls the gateway directly while the service is saturated: what of the growth is the machine, the simulator and the load generator.',
    ],
  };
}
