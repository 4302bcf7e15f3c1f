import type { Config } from '../../config/schema.js';
import type { Log } from '../log.js';
import { type BrokerState, openConnection } from './connection.js';
import { Line } from './line.js';
import type { Outgoing, Published } from './outgoing.js';
import { declare, type Topology } from './topology.js';

/** Publishes with confirms (an extension of AMQP 0-9-1 by RabbitMQ), on a connection of its own. */
export interface Publisher {
  /**
   * Resolves when the broker has confirmed the message. Until then the message is sent again, under the same id, on
   * every new connection and after each time-out. The caller bounds how many he has under way.
   * @throws PublishGivenUp after `limitMs`, or when the publisher is closed; the broker may have the message.
   * @throws PublishRefused
   */
  publish(message: Outgoing, limitMs?: number): Promise<Published>;
  /**
   * Publishes what must come to a queue of the service's own: one that was deleted is declared again.
   * @throws PublishGivenUp when the publisher is closed; the broker may have the message.
   * @throws PublishRefused
   */
  keep(message: Outgoing): Promise<void>;
  /** Whether messages go out now. */
  readonly open: boolean;
  /** Whether a connection is there and takes messages: they go out now, or when its next channel is open. */
  readonly connected: boolean;
  /** Of all messages that are not confirmed yet, without their headers. */
  readonly bytesUnderWay: number;
  /** Called when messages go out again. */
  onOpen: (() => void) | undefined;
  state(): BrokerState;
  close(): Promise<void>;
}

export interface PublisherOptions {
  readonly rabbitmq: Config['rabbitmq'];
  readonly topology: Topology;
  readonly name: string;
  readonly log: Log;
}

export async function openPublisher({ rabbitmq, topology, name, log }: PublisherOptions): Promise<Publisher> {
  const line = new Line(rabbitmq.confirm_timeout_ms, log, (model) => declare(model, topology, log));
  const connection = await openConnection({
    name,
    rabbitmq,
    log,
    setup: (model) => line.openOn(model),
    onLost: () => line.lost(),
    onBlocked: (blocked) => line.setBlocked(blocked),
  });
  return {
    publish: (message, limitMs) => line.publish(message, limitMs),
    keep: async (message) => {
      while ((await line.publish(message, undefined)) === 'unroutable') {
        const { exchange, routingKey } = message;
        log.warn({ event: 'queue_missing', exchange, routing_key: routingKey });
        await line.prepare();
      }
    },
    get open() {
      return line.open;
    },
    get connected() {
      return line.connected;
    },
    get bytesUnderWay() {
      return line.bytes;
    },
    get onOpen() {
      return line.onOpen;
    },
    set onOpen(listener) {
      line.onOpen = listener;
    },
    state: () => connection.state(),
    close: async () => {
      line.close();
      await connection.close();
    },
  };
}
