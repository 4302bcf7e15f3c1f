import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type ChannelModel, type ConfirmChannel, type ConsumeMessage, connect } from 'amqplib';

import { terminalEventId } from '../../server/events/outcome-event.js';
import { topologyOf } from '../../server/events/topology.js';
import {
  aReadyEvent,
  aTinyTask,
  type BrokerNames,
  freshNames,
  rabbitmqSection,
  type SeenEvent,
} from '../events/at-broker.js';
import { atService, onlyTiny, type ServiceUnderTest, sleep } from '../service/at-service.js';
import type { SharedRabbit } from '../shared-rabbit.js';
import { tell } from '../tell.js';

export type TinyTask = ReturnType<typeof aTinyTask>;

/** An orchestrator that outlives its broker: it connects again, and sends again what was not confirmed. */
export interface SteadyOrchestrator {
  readonly seen: readonly SeenEvent[];
  /** Resolves when the broker has confirmed the task, however often it had to be sent. */
  ready(task: TinyTask): Promise<void>;
  /** Waits until so many tasks have an outcome. @throws {Error} when they do not come within the time. */
  outcomes(count: number, limitMs?: number): Promise<void>;
  /** Messages that are ready in a queue, exactly: unlike the counts of list_queues, which are seconds old. */
  depth(queue: string): Promise<number>;
  take(queue: string): Promise<ConsumeMessage[]>;
  close(): Promise<void>;
}

export async function aSteadyOrchestrator(
  url: string,
  { exchange }: BrokerNames,
  {
    alternate = `${exchange}.unrouted`,
    subscribe = true,
  }: {
    /** The alternate exchange that it declares the shared exchange with. */
    readonly alternate?: string | false;
    readonly subscribe?: boolean;
  } = {},
): Promise<SteadyOrchestrator> {
  const seen: SeenEvent[] = [];
  let open: { model: ChannelModel; channel: ConfirmChannel } | undefined;
  const connection = await connect(url, {
    clientProperties: { connection_name: 'orchestrator' },
    recovery: {
      initialDelay: 50,
      maxDelay: 300,
      setup: async (model: ChannelModel) => {
        model.on('error', () => {});
        model.on('close', () => {
          if (open?.model === model) open = undefined;
        });
        const channel = await model.createConfirmChannel();
        channel.on('error', () => {});
        await channel.assertExchange(exchange, 'topic', {
          durable: true,
          ...(alternate && { alternateExchange: alternate }),
        });
        open = { model, channel };
        if (!subscribe) return;
        const { queue } = await channel.assertQueue(`observer.${exchange}`, { durable: true });
        for (const key of ['task.output.created', 'task.failed'])
          await channel.bindQueue(queue, exchange, key);
        await channel.consume(queue, (message) => {
          if (message === null) return;
          seen.push({
            routingKey: message.fields.routingKey,
            message,
            event: JSON.parse(message.content.toString()),
          });
          channel.ack(message);
        });
      },
    },
  });
  connection.on('error', () => {});
  const opened = async () => {
    while (open === undefined) await sleep(10);
    return open;
  };
  const send = async (task: TinyTask, content: Buffer, messageId: string) => {
    const { channel } = await opened();
    return new Promise<boolean>((resolve) => {
      const options = { persistent: true, messageId, contentType: 'application/cloudevents+json' };
      try {
        channel.publish(exchange, `task.ready.${task.tier}`, content, options, (error) => resolve(!error));
      } catch {
        // The channel has gone in this very moment.
        setTimeout(() => resolve(false), 10);
      }
    });
  };
  const onOwnChannel = async <T>(use: (channel: ConfirmChannel) => Promise<T>): Promise<T> => {
    const { model } = await opened();
    const channel = await model.createConfirmChannel();
    channel.on('error', () => {});
    const used = await use(channel);
    await channel.close();
    return used;
  };
  return {
    seen,
    ready: async (task) => {
      const content = Buffer.from(JSON.stringify(aReadyEvent(task)));
      const messageId = randomUUID();
      while (!(await send(task, content, messageId)));
    },
    outcomes: async (count, limitMs = 30_000) => {
      const until = Date.now() + limitMs;
      const known = () => new Set(seen.map(({ event }) => event.data.task_id)).size;
      while (known() < count) {
        if (Date.now() > until) throw new Error(`${known()} of ${count} tasks have an outcome`);
        await sleep(20);
      }
    },
    depth: (queue) => onOwnChannel(async (channel) => (await channel.checkQueue(queue)).messageCount),
    take: (queue) =>
      onOwnChannel(async (channel) => {
        const taken: ConsumeMessage[] = [];
        for (;;) {
          const message = await channel.get(queue, { noAck: true });
          if (message === false) return taken;
          taken.push(message as unknown as ConsumeMessage);
        }
      }),
    close: () => connection.close(),
  };
}

export interface FaultyService extends ServiceUnderTest {
  readonly orchestrator: SteadyOrchestrator;
  readonly names: BrokerNames;
  queue(name: string): string;
  /** Whether the service says of itself that it is connected to the broker. */
  connected(): Promise<boolean>;
  /** Log entries with this event. */
  // biome-ignore lint/suspicious/noExplicitAny: each event has fields of its own
  entries(event: string): any[];
}

export interface FaultySettings {
  readonly yaml?: string;
  /** Lines of the section `rabbitmq`. */
  readonly rabbitmq?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Where the service finds the broker, when not where the orchestrator does. */
  readonly serviceUrl?: string;
  readonly names?: BrokerNames;
  /** Where the broker is down at first there is no orchestrator to wait for. */
  readonly orchestrator?: SteadyOrchestrator;
  /** Whether to wait until the service is connected. @default true */
  readonly wait?: boolean;
}

const opened = new Set<FaultyService>();

/** Closes what a test has opened, however it ended: one that stays would keep the process from ending. */
export async function closeAll(): Promise<void> {
  for (const under of opened) await under.close();
}

/** A service with names of its own at the broker, quick to notice a fault and to try again. */
export async function atFaults(
  rabbit: Pick<SharedRabbit, 'url'>,
  { yaml = onlyTiny(8, 60), rabbitmq = [], env = {}, wait = true, ...settings }: FaultySettings = {},
): Promise<FaultyService> {
  const names = settings.names ?? freshNames();
  const orchestrator = settings.orchestrator ?? (await aSteadyOrchestrator(rabbit.url, names));
  const quick = ['reconnect_max_ms: 500', ...rabbitmq];
  const service = await atService(`${yaml}\n${rabbitmqSection(names, quick)}`, {
    RABBITMQ_HOST: settings.serviceUrl ?? rabbit.url,
    ...env,
  });
  const closeService = service.close;
  const under: FaultyService = Object.assign(service, {
    orchestrator,
    names,
    queue: (name: string) => `${names.queuePrefix}.${name}`,
    connected: async () => {
      const { body } = await service.ask('GET', '/health/detailed');
      return body.dependencies.rabbitmq === 'connected';
    },
    entries: (event: string) =>
      service.logged.filter((entry) => (entry as { event?: string }).event === event),
    close: async () => {
      opened.delete(under);
      await closeService();
      await orchestrator.close();
    },
  });
  opened.add(under);
  if (wait) await eventually(() => under.connected(), 'the service is connected to the broker');
  return under;
}

export function tinyTasks(count: number): TinyTask[] {
  return Array.from({ length: count }, () => aTinyTask());
}

/** @throws {Error} when it does not come true within the time. */
export async function eventually(
  isSo: () => Promise<boolean> | boolean,
  what: string,
  limitMs = 30_000,
): Promise<void> {
  const until = Date.now() + limitMs;
  while (!(await isSo())) {
    if (Date.now() > until) throw new Error(`never: ${what}`);
    await sleep(20);
  }
}

export async function callsByTask(under: ServiceUnderTest): Promise<Readonly<Record<string, number>>> {
  return (await under.stats()).byTask;
}

/**
 * The end of a test: every task has its one terminal id, nothing else was said, each one called the model once, and
 * once the service has stopped, which gives back what it did not answer, nothing is left in any of its queues.
 */
export async function nothingIsLost(
  under: FaultyService,
  tasks: readonly { readonly task_id: string }[],
  { calls = 1, limitMs = 30_000, except = [] as readonly string[] } = {},
): Promise<void> {
  const { orchestrator } = under;
  await orchestrator.outcomes(tasks.length, limitMs);
  await under.stop();
  assert.deepEqual(
    topologyOf(under.config)
      .queues.map(({ name }) => name)
      .sort(),
    ownQueues(under).map(under.queue).sort(),
  );
  const left: Record<string, number> = {};
  for (const name of ownQueues(under).filter((name) => !except.includes(name))) {
    const depth = await orchestrator.depth(under.queue(name));
    if (depth > 0) left[name] = depth;
  }
  const byTask = await callsByTask(under);
  const modelCalls = tasks.reduce((sum, { task_id }) => sum + (byTask[task_id] ?? 0), 0);
  const ids = new Set(orchestrator.seen.map(({ event }) => event.id as string));
  tell(
    `sent ${tasks.length}, distinct outcomes ${ids.size}, duplicates ${orchestrator.seen.length - ids.size}, ` +
      `model calls ${modelCalls}`,
  );
  assert.deepEqual(left, {}, 'messages are left');
  assert.deepEqual([...ids].sort(), tasks.map(({ task_id }) => terminalEventId(task_id)).sort());
  assert.deepEqual(
    tasks.filter(({ task_id }) => (byTask[task_id] ?? 0) > calls).map(({ task_id }) => task_id),
    [],
    'tasks with more model calls than allowed',
  );
}

function ownQueues({ config }: ServiceUnderTest): string[] {
  return [
    ...Object.keys(config.tier_models).flatMap((tier) => [`ready.${tier}`, `suspect.${tier}`]),
    'delay.100',
    'delay.200',
    'cancelled',
    'dead',
    'unrouted',
  ];
}
