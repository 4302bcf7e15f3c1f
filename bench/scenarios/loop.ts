import { request } from 'undici';
import type { Delay } from '../delay-meter.js';
import { readDelay } from '../meter.js';
import { type BenchProcess, serviceEnvironment, startProcess } from '../processes.js';
import { type Findings, type Metric, metric } from '../result.js';
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
  const beside = await startProcess('floors/idle.js', []);
  const knobs = (value: object) => setKnobs(simulators.gatewayUrl!, value);
  try {
    await knobs({ outputBytes: 1_000_000 });
    await execute(service, 0);
    const readings = new Map<string, Reading[]>();
    const measure = async (name: string, work: () => Promise<void>) => {
      for (const { child } of [service, beside]) child.send('reset');
      await work();
      const reading = {
        service: await readDelay(service),
        beside: await readDelay(beside),
      };
      readings.set(name, [...(readings.get(name) ?? []), reading]);
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
      metrics: [...readings].flatMap(([name, rounds]) => metricsOf(name, rounds)),
      recordings: [],
      notes: [
        `${CONCURRENCY} tasks at a time, one after the other, each with a context and an output of 1 MB`,
        'Beside it: a process that only meters its event loop, at the same time on the same cores.',
      ],
    };
  } finally {
    await service.close();
    await beside.close();
    await simulators.close();
  }
}

/** The event loop of the service, and one that has nothing to do, in the same round. */
interface Reading {
  readonly service: Delay;
  readonly beside: Delay;
}

function metricsOf(name: string, rounds: readonly Reading[]): Metric[] {
  const of = (title: string, value: (reading: Reading) => number, aim?: Metric['aim']) =>
    metric(`${name}: ${title}`, 'ms', rounds.map(value), { better: 'lower', ...(aim && { aim }) });
  return [
    of('p99', ({ service }) => service.p99, name === IDLE ? undefined : { atMost: 5 }),
    of('p99 of a process beside it that does nothing', ({ beside }) => beside.p99),
    of('p50', ({ service }) => service.p50),
    of('p99.9', ({ service }) => service.p999),
    of('longest', ({ service }) => service.max),
  ];
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
