import type { ChannelModel } from 'amqplib';
import type { Config } from '../../config/schema.js';
import type { Log } from '../log.js';
import { PRECONDITION_FAILED } from './outgoing.js';

/** The names of what the service has on the broker. */
export interface Names {
  readonly exchange: string;
  /** Alternate exchange: what nobody subscribed to goes through it to `unrouted`. */
  readonly alternate: string;
  /** Exchange of dead letters. */
  readonly deadLetters: string;
  readonly ready: (tier: string) => string;
  /** Messages that came back once too often; each process takes one of them at a time. */
  readonly suspect: (tier: string) => string;
  /** Exchange and queue of the same name, in which a message waits for the milliseconds. */
  readonly delay: (ms: number) => string;
  readonly dead: string;
  readonly unrouted: string;
  /** Keeps cancellations for processes that are not there yet. */
  readonly cancelled: string;
  /** Where one process hears of cancellations while it is connected. */
  readonly cancellations: (connection: string) => string;
  readonly routing: {
    readonly ready: (tier: string) => string;
    readonly cancelled: string;
    readonly outputCreated: string;
    readonly failed: string;
  };
}

export function namesOf({ exchange, queue_prefix, routing_prefix }: Config['rabbitmq']): Names {
  return {
    exchange,
    alternate: `${exchange}.unrouted`,
    deadLetters: `${exchange}.dead`,
    ready: (tier) => `${queue_prefix}.ready.${tier}`,
    suspect: (tier) => `${queue_prefix}.suspect.${tier}`,
    delay: (ms) => `${queue_prefix}.delay.${ms}`,
    dead: `${queue_prefix}.dead`,
    unrouted: `${queue_prefix}.unrouted`,
    cancelled: `${queue_prefix}.cancelled`,
    cancellations: (connection) => `${queue_prefix}.cancelled.${connection}`,
    routing: {
      ready: (tier) => `${routing_prefix}.ready.${tier}`,
      cancelled: `${routing_prefix}.cancelled`,
      outputCreated: `${routing_prefix}.output.created`,
      failed: `${routing_prefix}.failed`,
    },
  };
}

interface ExchangeDeclaration {
  readonly name: string;
  readonly type: 'topic' | 'fanout';
  readonly alternate?: string;
}

interface QueueDeclaration {
  readonly name: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** Exchanges, queues and bindings, as data. */
export interface Topology {
  readonly exchanges: readonly ExchangeDeclaration[];
  readonly queues: readonly QueueDeclaration[];
  readonly bindings: readonly { readonly queue: string; readonly exchange: string; readonly key: string }[];
}

export function topologyOf(config: Config): Topology {
  const names = namesOf(config.rabbitmq);
  const tiers = Object.keys(config.tier_models);
  const delays = [...new Set(config.rabbitmq.retry_delays_ms)];
  const { delivery_limit } = config.rabbitmq;
  const deadLettering = {
    'x-queue-type': 'quorum',
    'x-dead-letter-strategy': 'at-least-once',
    'x-overflow': 'reject-publish',
  };
  const toDead = { ...deadLettering, 'x-dead-letter-exchange': names.deadLetters };
  // Brokers from 4.0 on drop what came back 20 times unless told otherwise: listing dead letters brings them back.
  const kept = { 'x-queue-type': 'quorum', 'x-delivery-limit': 1_000_000_000 };
  return {
    exchanges: [
      { name: names.alternate, type: 'fanout' },
      { name: names.deadLetters, type: 'fanout' },
      { name: names.exchange, type: 'topic', alternate: names.alternate },
      ...delays.map((ms) => ({ name: names.delay(ms), type: 'fanout' as const })),
    ],
    queues: [
      { name: names.dead, arguments: kept },
      { name: names.unrouted, arguments: kept },
      {
        name: names.cancelled,
        arguments: {
          ...kept,
          // See CancellationFence.
          'x-single-active-consumer': true,
          'x-message-ttl': CANCELLATION_MS,
          'x-max-length': MOST_CANCELLATIONS,
          'x-overflow': 'drop-head',
        },
      },
      ...tiers.flatMap((tier) => [
        { name: names.ready(tier), arguments: { ...toDead, 'x-delivery-limit': readyLimit(delivery_limit) } },
        {
          name: names.suspect(tier),
          arguments: { ...toDead, 'x-delivery-limit': suspectLimit(delivery_limit) },
        },
      ]),
      // Back to the queue that the routing key names, through the default exchange.
      ...delays.map((ms) => ({
        name: names.delay(ms),
        arguments: { ...deadLettering, 'x-dead-letter-exchange': '', 'x-message-ttl': ms },
      })),
    ],
    // That of what nobody takes is the last one: until there are the others, tasks come back to their senders.
    bindings: [
      { queue: names.dead, exchange: names.deadLetters, key: '' },
      { queue: names.cancelled, exchange: names.exchange, key: names.routing.cancelled },
      ...tiers.map((tier) => ({
        queue: names.ready(tier),
        exchange: names.exchange,
        key: names.routing.ready(tier),
      })),
      ...delays.map((ms) => ({ queue: names.delay(ms), exchange: names.delay(ms), key: '' })),
      { queue: names.unrouted, exchange: names.alternate, key: '' },
    ],
  };
}

/**
 * As long as the store keeps a note by default. Not what is configured there: another value would be another argument
 * of the queue, which no process could declare while the old one is there.
 */
const CANCELLATION_MS = 7 * 24 * 3_600_000;
const MOST_CANCELLATIONS = 100_000;

/**
 * A message that comes back for the second time is moved to the queue of suspects, so the limit here is met only
 * by one that never gets that far.
 */
function readyLimit(deliveryLimit: number): number {
  return deliveryLimit + 16;
}

/** The service itself gives a suspect up at `delivery_limit`; the broker does when no process lives to do so. */
function suspectLimit(deliveryLimit: number): number {
  return deliveryLimit + 4;
}

/**
 * Declares everything; idempotent.
 * @throws TopologyConflict when the broker holds something of that name that is declared otherwise.
 */
export async function declare(model: ChannelModel, topology: Topology, log: Log): Promise<void> {
  for (const exchange of topology.exchanges) await declareExchange(model, exchange, log);
  for (const { name, arguments: args } of topology.queues) {
    await attempt(model, `queue ${name}`, (channel) =>
      channel.assertQueue(name, { durable: true, arguments: args }),
    );
  }
  const channel = await model.createChannel();
  channel.on('error', () => {});
  for (const { queue, exchange, key } of topology.bindings) await channel.bindQueue(queue, exchange, key);
  await channel.close();
}

async function declareExchange(
  model: ChannelModel,
  { name, type, alternate }: ExchangeDeclaration,
  log: Log,
): Promise<void> {
  const plain = { durable: true };
  if (alternate === undefined) {
    return attempt(model, `exchange ${name}`, (channel) => channel.assertExchange(name, type, plain));
  }
  try {
    await attempt(model, `exchange ${name}`, (channel) =>
      channel.assertExchange(name, type, { ...plain, alternateExchange: alternate }),
    );
  } catch (error) {
    if (!(error instanceof TopologyConflict)) throw error;
    // Another service may have made the exchange, which all of them share. Without the alternate exchange the
    // publisher itself puts what comes back unrouted into its queue.
    if (!hasAlternateOfOthers(error))
      await attempt(model, `exchange ${name}`, (channel) => channel.assertExchange(name, type, plain));
    log.warn({ event: 'exchange_without_alternate', exchange: name, error: error.message });
  }
}

/**
 * That is the last thing which RabbitMQ compares, so all else is as it should be. Only the text of the refusal says what
 * it is that differs.
 */
function hasAlternateOfOthers({ message }: TopologyConflict): boolean {
  return /'alternate-exchange'.*but current is (?!none)/.test(message);
}

/** On a channel of its own, because a refusal closes the channel. */
async function attempt(
  model: ChannelModel,
  what: string,
  run: (channel: Awaited<ReturnType<ChannelModel['createChannel']>>) => Promise<unknown>,
): Promise<void> {
  const channel = await model.createChannel();
  channel.on('error', () => {});
  try {
    await run(channel);
  } catch (error) {
    if ((error as { code?: unknown }).code === PRECONDITION_FAILED) {
      throw new TopologyConflict(what, error as Error);
    }
    throw error;
  }
  await channel.close();
}

/** The broker holds something of the same name that is declared otherwise. */
export class TopologyConflict extends Error {
  constructor(what: string, cause: Error) {
    super(
      `the broker holds the ${what} with other arguments (${cause.message}): ` +
        'delete it there, or set rabbitmq.queue_prefix or rabbitmq.exchange to names of your own',
      { cause },
    );
    this.name = 'TopologyConflict';
  }
}
