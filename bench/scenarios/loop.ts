import { request } from 'undici';
import { readMeter } from '../meter.js';
import { type BenchProcess, serviceEnvironment, startProcess } from '../processes.js';
import { type Findings, metric } from '../result.js';
import type { Bench, Scenario } from '../scenario.js';
import { setKnobs } from '../simulators/remote.js';
import { startSimulators } from '../simulators/start.js';

/** An idle loop measured with a resolution of 1 ms shows about 1. */
export const scenario: Scenario = {
  question: 'How long does the event loop stand still while tasks have contexts and outputs of 1 MB?',
  rounds: 3,
  seconds: 8,
  run,
};

async function run(bench: Bench): Promise<Findings> {
  const simulators = await startSimulators({ kinds: ['gateway'] });
  const service = await startProcess(
    'metered-service.js',
    [],
    serviceEnvironment(bench.directory, simulators.gatewayUrl!, CONFIGURATION),
  );
  const knobs = (value: object) => setKnobs(simulators.gatewayUrl!, value);
  try {
    await knobs({ outputBytes: 1_000_000 });
    await execute(service, 0);
    const readings = new Map<string, { p50: number; p99: number; p999: number; max: number }[]>();
    const measure = async (name: string, work: () => Promise<void>) => {
      service.child.send('reset');
      await work();
      const { delay } = await readMeter(service);
      readings.set(name, [...(readings.get(name) ?? []), delay]);
    };
    for (let round = 0; round < bench.rounds; round++) {
      bench.tell(`round ${round + 1} of ${bench.rounds}`);
      await measure(IDLE, () => new Promise((resolve) => setTimeout(resolve, IDLE_MS)));
      await knobs({ outputBytes: 1_000_000, chunkTokens: 8 });
      await measure('output in small deltas', () => execute(service, bench.seconds));
      await knobs({ hugeDeltaBytes: 1_000_000 });
      await measure('output in one delta', () => execute(service, bench.seconds));
    }
    return {
      metrics: [...readings].flatMap(([name, rounds]) => [
        metric(
          `${name}: p99`,
          'ms',
          rounds.map(({ p99 }) => p99),
          { better: 'lower', ...(name !== IDLE && { aim: { atMost: 5 } }) },
        ),
        metric(
          `${name}: p50`,
          'ms',
          rounds.map(({ p50 }) => p50),
          { better: 'lower' },
        ),
        metric(
          `${name}: p99.9`,
          'ms',
          rounds.map(({ p999 }) => p999),
          { better: 'lower' },
        ),
        metric(
          `${name}: longest`,
          'ms',
          rounds.map(({ max }) => max),
          { better: 'lower' },
        ),
      ]),
      recordings: [],
      notes: [
        `${CONCURRENCY} tasks at a time, one after the other, each with a context and an output of 1 MB`,
      ],
    };
  } finally {
    await service.close();
    await simulators.close();
  }
}

const IDLE = 'idle';
const IDLE_MS = 2000;
const CONCURRENCY = 4;
const CONFIGURATION = `models: {"gemma3:12b": {context_window: 1000000, max_output_tokens: 600000}}
queues: {small: {concurrency: ${CONCURRENCY}}}
`;

let taskNumber = 0;
const context = 'A line of context that says something about the project at hand.\n'.repeat(16_000);

/** At least one task for each caller, and no new one after so many seconds. */
async function execute(service: BenchProcess, seconds: number): Promise<void> {
  const end = performance.now() + seconds * 1000;
  const caller = async () => {
    do {
      taskNumber++;
      const body = JSON.stringify({
        task_id: `loop-${taskNumber}`,
        description: 'Create x',
        domain: 'code-general',
        context,
      });
      const headers = { 'content-type': 'application/json' };
      const answer = await request(`${service.url}/execute`, { method: 'POST', headers, body });
      const text = await answer.body.text();
      if (answer.statusCode !== 200) throw new Error(`${answer.statusCode}: ${text.slice(0, 500)}`);
    } while (performance.now() < end);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, caller));
}
