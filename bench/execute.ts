import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import autocannon from 'autocannon';
import { type BenchProcess, serviceEnvironment, startProcess } from './processes.js';
import { startSimulators } from './simulators/start.js';
import { median, spread } from './statistics.js';

/** What one server did in one round. Latencies in ms. */
interface Round {
  readonly perSecond: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly cpuMicros: number;
  readonly failed: number;
}

/**
 * How many short tasks a second does one process execute, all stages on, beside a bare relay measured in the
 * same run? An instant model of 20 chunks; rounds alternate, so that both see the same machine.
 */
export async function run(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'worker-service-bench-'));
  const simulators = await startSimulators({
    kinds: ['gateway'],
    knobs: { gateway: { chunks: 20, output: ANSWER } },
  });
  const floor = await startProcess('floor.js', [simulators.gatewayUrl!]);
  const service = await startProcess(
    '../server/main.js',
    [],
    serviceEnvironment(directory, simulators.gatewayUrl!, CONFIGURATION),
  );
  try {
    for (const server of [floor, service]) await load(server, WARM_UP_SECONDS);
    const rounds: Record<'floor' | 'service', Round[]> = { floor: [], service: [] };
    for (let round = 0; round < ROUNDS; round++) {
      rounds.floor.push(await load(floor, ROUND_SECONDS));
      rounds.service.push(await load(service, ROUND_SECONDS));
    }
    print(rounds.floor, rounds.service);
  } finally {
    await service.close();
    await floor.close();
    await simulators.close();
    rmSync(directory, { recursive: true });
  }
}

const ROUNDS = 5;
const ROUND_SECONDS = 5;
const WARM_UP_SECONDS = 4;
const CONNECTIONS = 64;
const ANSWER = JSON.stringify({
  status: 'completed',
  content:
    'def fibonacci(n: int) -> int:\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a\n',
  summary: 'An iterative Fibonacci function.',
});

// A tier that holds as many tasks as there are connections.
const CONFIGURATION = `queues: {small: {concurrency: ${CONNECTIONS}, timeout: 120}}\n`;

let taskNumber = 0;

async function load(server: BenchProcess, seconds: number): Promise<Round> {
  const before = server.cpuMicros();
  const result = await autocannon({
    url: server.url,
    connections: CONNECTIONS,
    duration: seconds,
    requests: [
      {
        method: 'POST',
        path: '/execute',
        headers: { 'content-type': 'application/json' },
        setupRequest: (request) => ({ ...request, body: nextTask() }),
      },
    ],
  });
  return {
    perSecond: result['2xx'] / seconds,
    p50: result.latency.p50,
    p95: result.latency.p95 ?? result.latency.p97_5,
    p99: result.latency.p99,
    cpuMicros: (server.cpuMicros() - before) / Math.max(1, result['2xx']),
    failed: result.non2xx + result.errors,
  };
}

function nextTask(): string {
  taskNumber++;
  return JSON.stringify({
    task_id: `bench-${taskNumber}`,
    description: 'Create fibonacci function',
    domain: 'code-general',
    tier: 'small',
    context: 'Use Python 3.',
  });
}

function print(floor: readonly Round[], service: readonly Round[]): void {
  const row = (name: string, rounds: readonly Round[]) => ({
    server: name,
    'tasks/s': median(rounds.map(({ perSecond }) => perSecond)),
    spread: spread(rounds.map(({ perSecond }) => perSecond)),
    'p50 ms': median(rounds.map(({ p50 }) => p50)),
    'p95 ms': median(rounds.map(({ p95 }) => p95)),
    'p99 ms': median(rounds.map(({ p99 }) => p99)),
    'CPU µs/task': median(rounds.map(({ cpuMicros }) => cpuMicros)),
    failed: rounds.reduce((sum, { failed }) => sum + failed, 0),
  });
  const rows = [row('floor', floor), row('service', service)];
  console.table(rows);
  const ratio = rows[1]!['tasks/s'] / rows[0]!['tasks/s'];
  const rows2 = rows[1]!['CPU µs/task'] / rows[0]!['CPU µs/task'];
  console.log(
    `throughput: ${ratio.toFixed(2)} of the floor; CPU per task: ${rows2.toFixed(2)} times the floor's`,
  );
  console.log(
    `${CONNECTIONS} connections, ${ROUNDS} rounds of ${ROUND_SECONDS} s, medians; spread is (max − min) / median`,
  );
}
