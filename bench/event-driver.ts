import { type ChannelModel, connect } from 'amqplib';
import type { LoadRound } from './findings.js';
import { Latencies } from './latencies.js';

/** Publishes tasks and reads their outcomes; waits for nobody but where it is told to. */
export interface EventDriver {
  /** Publishes `task.ready.{tier}` and remembers when. */
  publish(task: { readonly id: string; readonly data: object }, tier: string): void;
  /** Called with every outcome of a task that was published here. */
  onOutcome: (outcome: EventOutcome) => void;
  /** Ids of the tasks that have no outcome yet. */
  readonly outstanding: ReadonlySet<string>;
  /** Resolves when no task is outstanding; false when some still are after so many seconds. */
  drained(seconds: number): Promise<boolean>;
}

export interface EventOutcome {
  readonly id: string;
  readonly status: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** From publish to delivery, in ms. */
  readonly ms: number;
}

/** @param exchange the topic exchange that tasks go to and outcomes come from; it must exist. */
export async function openEventDriver(model: ChannelModel, exchange: string): Promise<EventDriver> {
  const publishing = await model.createChannel();
  const consuming = await model.createChannel();
  const { queue } = await consuming.assertQueue('', { exclusive: true });
  for (const key of ['task.output.created', 'task.failed']) await consuming.bindQueue(queue, exchange, key);
  const publishedAt = new Map<string, number>();
  let onDrained: (() => void) | undefined;
  const driver: EventDriver = {
    onOutcome: () => {},
    get outstanding() {
      return new Set(publishedAt.keys());
    },
    publish({ id, data }, tier) {
      publishedAt.set(id, performance.now());
      const event = { specversion: '1.0', type: 'dats.task.ready', source: '/bench', id, data };
      publishing.publish(exchange, `task.ready.${tier}`, Buffer.from(JSON.stringify(event)), {
        persistent: true,
        contentType: 'application/cloudevents+json',
      });
    },
    async drained(seconds) {
      if (publishedAt.size === 0) return true;
      return new Promise((resolve) => {
        const timer = setTimeout(() => resolve(false), seconds * 1000);
        onDrained = () => {
          clearTimeout(timer);
          resolve(true);
        };
      });
    },
  };
  await consuming.consume(
    queue,
    (message) => {
      const { data } = JSON.parse(message!.content.toString()) as {
        data: { task_id: string; status?: string };
      };
      const at = publishedAt.get(data.task_id);
      if (at === undefined) return;
      publishedAt.delete(data.task_id);
      const status = message!.fields.routingKey === 'task.failed' ? 'failed' : (data.status ?? 'completed');
      driver.onOutcome({ id: data.task_id, status, data, ms: performance.now() - at });
      if (publishedAt.size === 0) onDrained?.();
    },
    { noAck: true },
  );
  return driver;
}

/**
 * Keeps a fixed number of tasks outstanding for so many seconds, then lets them end.
 * @throws {Error} when a task does not complete.
 */
export async function keepOutstanding(
  driver: EventDriver,
  options: {
    readonly tasks: number;
    readonly seconds: number;
    readonly next: () => { readonly id: string; readonly data: object };
    readonly cpuMicros: () => number;
  },
): Promise<LoadRound> {
  const { tasks, seconds, next, cpuMicros } = options;
  const latencies = new Latencies();
  const perSecond: number[] = new Array(Math.ceil(seconds)).fill(0);
  const cpuBefore = cpuMicros();
  const startedAt = performance.now();
  let answered = 0;
  let failure: Error | undefined;
  driver.onOutcome = ({ status, data, ms }) => {
    if (status !== 'completed')
      failure = new Error(`a task ended otherwise: ${JSON.stringify(data).slice(0, 500)}`);
    answered++;
    const second = (performance.now() - startedAt) / 1000;
    if (second >= seconds) return;
    latencies.record(ms);
    perSecond[Math.floor(second)]!++;
    driver.publish(next(), 'small');
  };
  for (let task = 0; task < tasks; task++) driver.publish(next(), 'small');
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  if (!(await driver.drained(DRAIN_SECONDS)))
    throw new Error(`${driver.outstanding.size} tasks have no outcome after ${DRAIN_SECONDS} s`);
  if (failure !== undefined) throw failure;
  return {
    rate: latencies.count / seconds,
    perSecond,
    latencies,
    cpuMicros: (cpuMicros() - cpuBefore) / Math.max(1, answered),
  };
}

const DRAIN_SECONDS = 60;

/** Waits until so many consumers take from a queue. */
export async function consumed(url: string, queue: string, consumers: number): Promise<void> {
  const model = await connect(url);
  model.on('error', () => {});
  for (;;) {
    const channel = await model.createChannel();
    channel.on('error', () => {}); // the queue is not declared yet
    const found = await channel.checkQueue(queue).catch(() => undefined);
    if (found !== undefined && found.consumerCount >= consumers) return model.close();
    if (found !== undefined) await channel.close();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
