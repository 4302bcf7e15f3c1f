import { join } from 'node:path';
import { connect } from 'amqplib';
import { consumed, keepOutstanding, openEventDriver } from '../event-driver.js';
import { type LoadRound, loadMetrics, recordingOf } from '../findings.js';
import { startInstantModel } from '../instant-model.js';
import { type BenchProcess, serviceEnvironment, startProcess } from '../processes.js';
import { type Findings, metric } from '../result.js';
import { ratios, takeTurns } from '../rounds.js';
import type { Bench, Scenario } from '../scenario.js';
import { startRabbit } from '../servers/rabbitmq.js';
import { taskMaker } from '../tasks.js';

/** An instant model; the driver keeps a fixed number of tasks outstanding; bare amqplib in the same run. */
export const scenario: Scenario = {
  question:
    'How many tasks a second go from publish to confirmed outcome, on quorum queues, beside bare amqplib?',
  rounds: 5,
  seconds: 5,
  run,
};

async function run(bench: Bench): Promise<Findings> {
  const rabbit = await startRabbit();
  const simulators = await startInstantModel();
  const model = await connect(rabbit.url);
  const started: BenchProcess[] = [];
  const contestant = async (server: BenchProcess, exchange: string) => {
    started.push(server);
    const driver = await openEventDriver(model, exchange);
    const next = taskMaker(bench.seed, exchange);
    return (seconds: number) =>
      keepOutstanding(driver, { tasks: OUTSTANDING, seconds, next, cpuMicros: server.cpuMicros });
  };
  const service = async (exchange: string, workers: number) => {
    const server = await startProcess('../server/main.js', [], {
      ...serviceEnvironment(
        join(bench.directory, exchange),
        simulators.gatewayUrl!,
        configurationOf(exchange),
        workers,
      ),
      RABBITMQ_HOST: rabbit.url,
    });
    await consumed(rabbit.url, `${exchange}.ready.small`, workers);
    return contestant(server, exchange);
  };
  try {
    const channel = await model.createChannel();
    await channel.assertExchange('floor', 'topic', { durable: true });
    await channel.assertQueue('floor.ready', { durable: true, arguments: { 'x-queue-type': 'quorum' } });
    await channel.bindQueue('floor.ready', 'floor', 'task.ready.small');
    const floor = await startProcess('floors/amqp.js', [rabbit.url, 'floor', 'floor.ready', String(SLOTS)]);
    return findings(
      await takeTurns(bench, {
        floor: await contestant(floor, 'floor'),
        one: await service('one', 1),
        two: await service('two', 2),
      }),
    );
  } finally {
    for (const server of started) await server.close();
    await model.close();
    await simulators.close();
    await rabbit.close();
  }
}

const SLOTS = 64;
/** More than the slots, so that there is always work in the queue. */
const OUTSTANDING = 256;

function configurationOf(exchange: string): string {
  return `queues: {small: {concurrency: ${SLOTS}, timeout: 120}}
rabbitmq: {exchange: ${exchange}, queue_prefix: ${exchange}}
`;
}

function findings({ floor, one, two }: Record<'floor' | 'one' | 'two', LoadRound[]>): Findings {
  const rate = (rounds: readonly LoadRound[]) => rounds.map(({ rate }) => rate);
  const servers = [
    ['floor', floor],
    ['service, one worker', one],
    ['service, two workers', two],
  ] as const;
  return {
    metrics: [
      metric('of the floor, one worker', 'ratio', ratios(rate(one), rate(floor)), {
        better: 'higher',
        aim: { atLeast: 0.5 },
      }),
      metric('of the floor, two workers', 'ratio', ratios(rate(two), rate(floor)), {
        better: 'higher',
        aim: { atLeast: 0.5 },
      }),
      ...servers.flatMap(([name, rounds]) => loadMetrics(name, 'tasks', rounds)),
    ],
    recordings: servers.map(([name, rounds]) => recordingOf(name, rounds)),
    notes: [
      `Prefetch ${SLOTS} (of all workers together), ${OUTSTANDING} tasks outstanding. The floor consumes, publishes with confirm and acks after it.`,
    ],
  };
}
