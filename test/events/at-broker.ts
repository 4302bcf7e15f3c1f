import { randomUUID } from 'node:crypto';
import { type ChannelModel, type ConfirmChannel, type ConsumeMessage, connect, type Options } from 'amqplib';

import type { FaultProxy } from '../servers/proxy.js';
import { aTask, atService, type ServiceUnderTest, sleep, until } from '../service/at-service.js';
import type { SharedRabbit } from '../shared-rabbit.js';

/** An outcome event as an orchestrator sees it. */
export interface SeenEvent {
  readonly routingKey: string;
  readonly message: ConsumeMessage;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into events of every shape
  readonly event: any;
}

/** An orchestrator: it publishes tasks and collects every outcome. */
export interface Orchestrator {
  readonly seen: SeenEvent[];
  /** Publishes a CloudEvent in structured mode, and waits for the confirm. */
  ready(task: Readonly<Record<string, unknown>>, options?: Options.Publish): Promise<void>;
  /** Publishes anything under a routing key, and waits for the confirm. */
  publish(routingKey: string, content: Buffer, options?: Options.Publish): Promise<void>;
  /** Waits until so many tasks have an outcome; resolves to all events by task_id. */
  outcomes(count: number, limitMs?: number): Promise<Map<string, SeenEvent[]>>;
  /** Collects what comes by a routing key from now on. */
  listen(routingKey: string): Promise<readonly ConsumeMessage[]>;
  /** Takes all messages of a queue away. */
  take(queue: string): Promise<ConsumeMessage[]>;
  /** Takes its queue of outcomes away. */
  unsubscribe(): Promise<void>;
  close(): Promise<void>;
}

export interface BrokerNames {
  readonly exchange: string;
  readonly queuePrefix: string;
}

/** An orchestrator whose queues are there before any task is. */
export async function anOrchestrator(url: string, { exchange }: BrokerNames): Promise<Orchestrator> {
  const model: ChannelModel = await connect(url);
  model.on('error', () => {});
  const channel: ConfirmChannel = await model.createConfirmChannel();
  channel.on('error', () => {});
  await channel.assertExchange(`${exchange}.unrouted`, 'fanout', { durable: true });
  await channel.assertExchange(exchange, 'topic', {
    durable: true,
    alternateExchange: `${exchange}.unrouted`,
  });
  const { queue } = await channel.assertQueue(`observer.${exchange}`, { durable: true });
  for (const key of ['task.output.created', 'task.failed']) await channel.bindQueue(queue, exchange, key);
  const seen: SeenEvent[] = [];
  await channel.consume(queue, (message) => {
    if (message === null) return;
    seen.push({
      routingKey: message.fields.routingKey,
      message,
      event: JSON.parse(message.content.toString()),
    });
    channel.ack(message);
  });
  const publish: Orchestrator['publish'] = (routingKey, content, options = {}) =>
    new Promise((resolve, reject) => {
      channel.publish(exchange, routingKey, content, { persistent: true, ...options }, (error) =>
        error ? reject(error) : resolve(),
      );
    });
  const byTask = () => {
    const found = new Map<string, SeenEvent[]>();
    for (const each of seen) {
      const taskId = each.event.data.task_id as string;
      found.set(taskId, [...(found.get(taskId) ?? []), each]);
    }
    return found;
  };
  return {
    seen,
    publish,
    ready: (task, options) =>
      publish(`task.ready.${task.tier ?? 'tiny'}`, Buffer.from(JSON.stringify(aReadyEvent(task))), {
        contentType: 'application/cloudevents+json',
        ...options,
      }),
    outcomes: async (count, limitMs = 60_000) => {
      const until = Date.now() + limitMs;
      while (byTask().size < count) {
        if (Date.now() > until) throw new Error(`${byTask().size} of ${count} tasks have an outcome`);
        await sleep(20);
      }
      return byTask();
    },
    listen: async (routingKey) => {
      const heard: ConsumeMessage[] = [];
      const { queue } = await channel.assertQueue('', { exclusive: true });
      await channel.bindQueue(queue, exchange, routingKey);
      await channel.consume(queue, (message) => void (message && heard.push(message)), { noAck: true });
      return heard;
    },
    take: async (queue) => {
      const taken: ConsumeMessage[] = [];
      for (;;) {
        const message = await channel.get(queue, { noAck: true });
        if (message === false) return taken;
        taken.push(message as unknown as ConsumeMessage);
      }
    },
    unsubscribe: async () => {
      await channel.deleteQueue(queue);
    },
    // The test may have stopped the broker.
    close: () => model.close().catch(() => {}),
  };
}

let eventNumber = 0;

export function aReadyEvent(data: object): object {
  eventNumber++;
  return {
    specversion: '1.0',
    type: 'dats.task.ready',
    source: '/orchestration',
    id: `event-${eventNumber}`,
    time: new Date().toISOString(),
    data,
  };
}

/** A task without context, for the fastest tier. */
export function aTinyTask(more: object = {}): { task_id: string; tier: string } & Record<string, unknown> {
  return { ...aTask(more), tier: 'tiny', ...more };
}

export interface BrokerUnderTest extends ServiceUnderTest {
  readonly orchestrator: Orchestrator;
  readonly names: BrokerNames;
  /** The name of a queue of the service. */
  queue(name: string): string;
}

export function freshNames(): BrokerNames {
  const suffix = randomUUID().slice(0, 13);
  return { exchange: `tasks-${suffix}`, queuePrefix: `worker.task-${suffix}` };
}

/** A service on a broker, with names of its own there, and an orchestrator. `yaml` may end with a `rabbitmq` section. */
export async function atBroker(
  rabbit: Pick<SharedRabbit, 'url'>,
  {
    yaml = '',
    rabbitmq = [],
    retryDelaysMs,
    env = {},
    serviceUrl = rabbit.url,
  }: {
    yaml?: string;
    /** Lines of the configuration's section. */
    rabbitmq?: readonly string[];
    retryDelaysMs?: readonly number[];
    env?: Record<string, string>;
    /** Where the service finds the broker, when not where the orchestrator does. */
    serviceUrl?: string;
  } = {},
): Promise<BrokerUnderTest> {
  const names = freshNames();
  const orchestrator = await anOrchestrator(rabbit.url, names);
  const service = await atService(`${yaml}\n${rabbitmqSection(names, rabbitmq, retryDelaysMs)}`, {
    RABBITMQ_HOST: serviceUrl,
    ...env,
  });
  // Until its queues are there, a task would have nobody to go to.
  await until(async () => {
    const { body } = await service.ask('GET', '/health/detailed');
    return body.dependencies.rabbitmq === 'connected';
  }, 'connected to the broker');
  const closeService = service.close;
  return Object.assign(service, {
    orchestrator,
    names,
    queue: (name: string) => `${names.queuePrefix}.${name}`,
    close: async () => {
      await closeService();
      await orchestrator.close();
    },
  });
}

/** Where a service finds its broker behind a proxy. */
export function urlThrough({ port }: FaultProxy): string {
  return `amqp://guest:guest@127.0.0.1:${port}`;
}

export function rabbitmqSection(
  { exchange, queuePrefix }: BrokerNames,
  more: readonly string[] = [],
  retryDelaysMs: readonly number[] = [100, 200],
): string {
  return [
    'rabbitmq:',
    `  exchange: ${exchange}`,
    `  queue_prefix: ${queuePrefix}`,
    `  retry_delays_ms: [${retryDelaysMs}]`,
    ...more.map((line) => `  ${line}`),
  ].join('\n');
}

/**
 * Waits until no queue of the service holds a message, ready or unacked, but those named. The broker's own counts
 * of quorum queues are some seconds old. @throws {Error} when messages stay.
 */
export async function queuesAreEmpty(
  rabbit: Pick<SharedRabbit, 'queues'>,
  { names }: { readonly names: BrokerNames },
  except: readonly string[] = [],
): Promise<void> {
  let left: unknown[] = [];
  for (let i = 0; i < 30; i++) {
    const own = [...(await rabbit.queues())].filter(([name]) => name.startsWith(`${names.queuePrefix}.`));
    if (own.length === 0) throw new Error(`the broker has no queue of ${names.queuePrefix}`);
    left = own.filter(
      ([name, { ready, unacked }]) =>
        !except.includes(name.slice(names.queuePrefix.length + 1)) && ready + unacked > 0,
    );
    if (left.length === 0) return;
    await sleep(1000);
  }
  throw new Error(`messages are left: ${JSON.stringify(left)}`);
}

/** How often the model was called for one task. */
export async function modelCalls(
  under: { stats(): Promise<{ readonly byTask: Readonly<Record<string, number>> }> },
  taskId: string,
): Promise<number> {
  return (await under.stats()).byTask[taskId] ?? 0;
}

/** The first terminal event of a task, once it has come. */
export async function outcomeOf({ orchestrator }: BrokerUnderTest, taskId: string): Promise<SeenEvent> {
  const find = () => orchestrator.seen.find(({ event }) => event.data.task_id === taskId);
  await until(() => find() !== undefined, taskId);
  return find()!;
}
