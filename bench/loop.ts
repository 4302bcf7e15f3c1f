import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from 'undici';
import { type BenchProcess, serviceEnvironment, startProcess } from './processes.js';
import { startSimulators } from './simulators/start.js';

/** Delay of the event loop in ms; an idle loop measured with a resolution of 1 ms shows about 1. */
interface LoopDelay {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** How long does the event loop stand still while tasks have contexts and outputs of 1 MB? */
export async function run(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'worker-service-bench-'));
  const simulators = await startSimulators({ kinds: ['gateway'] });
  const service = await startProcess(
    'loop-service.js',
    [],
    serviceEnvironment(directory, simulators.gatewayUrl!, CONFIGURATION),
  );
  const knobs = (value: object) => setKnobs(simulators.gatewayUrl!, value);
  try {
    await knobs({ outputBytes: 1_000_000 });
    await execute(service, 4);
    const rows: ({ scenario: string } & LoopDelay)[] = [];
    const measure = async (scenario: string, work: () => Promise<void>) => {
      service.child.send('reset');
      await work();
      service.child.send('report');
      const [delay] = (await once(service.child, 'message')) as [LoopDelay];
      rows.push({ scenario, ...delay });
    };
    await measure('idle', () => new Promise((resolve) => setTimeout(resolve, 3000)));
    await knobs({ outputBytes: 1_000_000, chunkTokens: 8 });
    await measure('1 MB context, 1 MB output in small deltas', () => execute(service, TASKS));
    await knobs({ hugeDeltaBytes: 1_000_000 });
    await measure('1 MB context, 1 MB output in one delta', () => execute(service, TASKS));
    console.table(
      rows.map(({ scenario, p50, p99, p999, max }) => ({
        scenario,
        'p50 ms': p50,
        'p99 ms': p99,
        'p99.9 ms': p999,
        'max ms': max,
      })),
    );
    console.log(`${TASKS} tasks, ${CONCURRENCY} at a time; the aim is a p99 of 5 ms or less`);
  } finally {
    await service.close();
    await simulators.close();
    rmSync(directory, { recursive: true });
  }
}

const TASKS = 60;
const CONCURRENCY = 4;

const CONFIGURATION = `models: {"gemma3:12b": {context_window: 1000000, max_output_tokens: 600000}}
queues: {small: {concurrency: ${CONCURRENCY}}}
`;

async function setKnobs(gatewayUrl: string, knobs: object): Promise<void> {
  const url = `${gatewayUrl.replace('/api/v1', '')}/_simulator/knobs`;
  await (await request(url, { method: 'DELETE' })).body.dump();
  await (await request(url, { method: 'PUT', body: JSON.stringify(knobs) })).body.dump();
}

let taskNumber = 0;
const context = 'A line of context that says something about the project at hand.\n'.repeat(16_000);

async function execute(service: BenchProcess, tasks: number): Promise<void> {
  let left = tasks;
  const worker = async () => {
    while (left-- > 0) {
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
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}
