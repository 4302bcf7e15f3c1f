import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Channel, type ConfirmChannel, connect } from 'amqplib';
import { type BenchProcess, serviceEnvironment, startProcess } from './processes.js';
import { startRabbit } from './servers/rabbitmq.js';
import { startSimulators } from './simulators/start.js';
import { median, spread } from './statistics.js';

/** What one consumer did in one round. Latencies in ms, from publish to the outcome's delivery. */
interface Round {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly cpuMicros: number;
}

/**
 * How many tasks a second go from publish to confirmed outcome, on quorum queues, beside bare amqplib measured in
 * the same run? An instant model; the driver keeps a fixed number of tasks outstanding; rounds alternate.
 */
export async function run(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'worker-service-bench-'));
  const rabbit = await startRabbit();
  const simulators = await startSimulators({ kinds: ['gateway'], knobs: { gateway: { chunks: 20 } } });
  const model = await connect(rabbit.url);
  const channel = await model.createConfirmChannel();
  await channel.assertExchange('floor', 'topic', { durable: true });
  await channel.assertQueue('floor.ready', { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  await channel.bindQueue('floor.ready', 'floor', 'task.ready.small');
  const floor = await startProcess('events-floor.js', [rabbit.url, 'floor', 'floor.ready', String(SLOTS)]);
  const service = await startProcess('../server/main.js', [], {
    ...serviceEnvironment(directory, simulators.gatewayUrl!, CONFIGURATION),
    RABBITMQ_HOST: rabbit.url,
  });
  try {
    await consumed(rabbit.url);
    const drivers = {
      floor: await aDriver(channel, await model.createChannel(), 'floor'),
      service: await aDriver(channel, await model.createChannel(), 'tasks'),
    };
    const rounds: Record<'floor' | 'service', Round[]> = { floor: [], service: [] };
    for (let round = -1; round < ROUNDS; round++) {
      const seconds = round < 0 ? WARM_UP_SECONDS : ROUND_SECONDS;
      const of = {
        floor: await drivers.floor(floor, seconds),
        service: await drivers.service(service, seconds),
      };
      if (round < 0) continue;
      rounds.floor.push(of.floor);
      rounds.service.push(of.service);
    }
    print(rounds.floor, rounds.service);
  } finally {
    await service.close();
    await floor.close();
    await model.close();
    await simulators.close();
    await rabbit.close();
    rmSync(directory, { recursive: true });
  }
}

const ROUNDS = 5;
const ROUND_SECONDS = 5;
const WARM_UP_SECONDS = 4;
const SLOTS = 64;
/** More than the slots, so that there is always work in the queue. */
const OUTSTANDING = 256;
const CONFIGURATION = `queues: {small: {concurrency: ${SLOTS}, timeout: 120}}\n`;

/** Waits until the service consumes. */
async function consumed(url: string): Promise<void> {
  const model = await connect(url);
  for (;;) {
    const channel = await model.createChannel();
    channel.on('error', () => {}); // the queue is not declared yet
    const found = await channel.checkQueue('worker.task.ready.small').catch(() => undefined);
    if (found !== undefined && found.consumerCount > 0) return model.close();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

let taskNumber = 0;

/** Publishes tasks on an exchange and reads their outcomes; returns a function that does so for some seconds. */
async function aDriver(publishing: ConfirmChannel, consuming: Channel, exchange: string) {
  const { queue } = await consuming.assertQueue('', { exclusive: true });
  for (const key of ['task.output.created', 'task.failed']) await consuming.bindQueue(queue, exchange, key);
  const publishedAt = new Map<string, number>();
  let latencies: number[] = [];
  let running = false;
  let idle: (() => void) | undefined;
  const publish = () => {
    taskNumber++;
    const task = {
      task_id: `bench-${taskNumber}`,
      description: 'Create fibonacci function',
      domain: 'code-general',
      tier: 'small',
      context: 'Use Python 3.',
    };
    publishedAt.set(task.task_id, performance.now());
    const event = {
      specversion: '1.0',
      type: 'dats.task.ready',
      source: '/bench',
      id: task.task_id,
      data: task,
    };
    publishing.publish(exchange, 'task.ready.small', Buffer.from(JSON.stringify(event)), {
      persistent: true,
      contentType: 'application/cloudevents+json',
    });
  };
  await consuming.consume(
    queue,
    (message) => {
      const { data } = JSON.parse(message!.content.toString()) as {
        data: { task_id: string; status: string };
      };
      if (data.status !== 'completed') throw new Error(`a task failed: ${JSON.stringify(data)}`);
      const at = publishedAt.get(data.task_id);
      if (at === undefined) return;
      publishedAt.delete(data.task_id);
      latencies.push(performance.now() - at);
      if (running) publish();
      else if (publishedAt.size === 0) idle?.();
    },
    { noAck: true },
  );
  return async (server: BenchProcess, seconds: number): Promise<Round> => {
    latencies = [];
    const cpuBefore = server.cpuMicros();
    const startedAt = performance.now();
    running = true;
    for (let i = 0; i < OUTSTANDING; i++) publish();
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    running = false;
    const drained = new Promise<void>((resolve) => {
      idle = resolve;
    });
    if (publishedAt.size > 0) await drained;
    const sorted = latencies.toSorted((a, b) => a - b);
    const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? 0;
    return {
      perSecond: sorted.length / ((performance.now() - startedAt) / 1000),
      p50: at(0.5),
      p99: at(0.99),
      cpuMicros: (server.cpuMicros() - cpuBefore) / Math.max(1, sorted.length),
    };
  };
}

function print(floor: readonly Round[], service: readonly Round[]): void {
  const row = (name: string, rounds: readonly Round[]) => ({
    server: name,
    'tasks/s': median(rounds.map(({ perSecond }) => perSecond)),
    spread: spread(rounds.map(({ perSecond }) => perSecond)),
    'p50 ms': median(rounds.map(({ p50 }) => p50)),
    'p99 ms': median(rounds.map(({ p99 }) => p99)),
    'CPU µs/task': median(rounds.map(({ cpuMicros }) => cpuMicros)),
  });
  const rows = [row('floor', floor), row('service', service)];
  console.table(rows);
  console.log(
    `throughput: ${(rows[1]!['tasks/s'] / rows[0]!['tasks/s']).toFixed(2)} of the floor (bare amqplib: consume, publish with confirm, ack)`,
  );
  console.log(
    `prefetch ${SLOTS}, ${OUTSTANDING} tasks outstanding, ${ROUNDS} rounds of ${ROUND_SECONDS} s, medians; spread is (max − min) / median`,
  );
}
