import { randomUUID } from 'node:crypto';
import type { ChannelModel } from 'amqplib';
import type { Config } from '../../config/schema.js';
import type { Log } from '../log.js';
import { connectOnce, dropSocket, within } from './connection.js';
import { PRECONDITION_FAILED } from './outgoing.js';

export interface DeadLetteringOptions {
  readonly rabbitmq: Config['rabbitmq'];
  /** Shown by the broker's own tools. */
  readonly name: string;
  readonly log: Log;
}

/**
 * Says in the log whether the broker dead-letters at most once, whatever the arguments of the queues are: RabbitMQ 3.10 and
 * 3.11 without the feature flag `stream_queue` (rabbitmq.com, Quorum Queues, at-least-once dead lettering). A task that
 * waits for its next attempt would be lost there when the broker goes down at the wrong moment. Never rejects.
 */
export async function checkDeadLettering(
  { connection }: ChannelModel,
  options: DeadLetteringOptions,
): Promise<void> {
  const { log } = options;
  try {
    if (!/^3\.1[01]\./.test(connection.serverProperties.version)) return;
    const refusal = await refusalOfStream(options);
    if (refusal === INTERNAL_ERROR)
      log.warn({
        event: 'dead_letters_at_most_once',
        message:
          'the broker may lose tasks that wait for their next attempt: rabbitmqctl enable_feature_flag stream_queue',
      });
    else if (refusal === PRECONDITION_FAILED) log.info({ event: 'dead_letters_at_least_once' });
    else log.warn({ event: 'dead_lettering_unknown', error: `the broker answered ${refusal ?? 'nothing'}` });
  } catch (error) {
    log.warn({ event: 'dead_lettering_unknown', error: (error as Error).message });
  }
}

/**
 * The reply code to the declaration of a stream that no broker makes, because it is to be deleted by itself. Where the
 * flag is missing the broker says so first, and closes the connection, which therefore is one of its own.
 */
async function refusalOfStream({ rabbitmq, name }: DeadLetteringOptions): Promise<unknown> {
  const model = await connectOnce(rabbitmq, `${name} check`);
  let refusal: unknown;
  const note = (error: { readonly code?: unknown }) => {
    refusal ??= error.code;
  };
  model.on('error', note);
  const declare = async () => {
    const channel = await model.createChannel();
    channel.on('error', note);
    const stream = { autoDelete: true, arguments: { 'x-queue-type': 'stream' } };
    await channel.assertQueue(`${rabbitmq.queue_prefix}.check.${randomUUID()}`, stream);
  };
  try {
    await within(ANSWER_MS, declare().catch(note));
    return refusal;
  } finally {
    // One that does not answer any more must not keep the process.
    await within(
      ANSWER_MS,
      model.close().catch(() => {}),
    );
    dropSocket(model);
  }
}

const ANSWER_MS = 10_000;

/** Reply code of AMQP 0-9-1. */
const INTERNAL_ERROR = 541;
