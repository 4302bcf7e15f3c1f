import type { FailureCode } from '../../contracts/failures.js';
import { loggedDetail } from '../logged-detail.js';
import type { ResolvedTask } from '../resolution.js';
import type { Delivery, DeliveryParts, DeliveryVerdict } from './delivery-parts.js';
import { expiryHeader } from './expiry.js';
import { again, countIn, ownHeaders, returnsOf } from './message.js';

/** How long a message waits, in milliseconds. */
export interface Wait {
  /** Which of the delays it has come to, from 1 on. */
  readonly step: number;
  /** What the gateway asks for: the first delay from `step` on that is as long, or the longest. @default 0 */
  readonly askedSeconds?: number | undefined;
  /** When nobody wants it any longer, in milliseconds since the epoch: it does not wait beyond that because it is asked to. */
  readonly expiresAt?: number | undefined;
}

/** Lets the message wait in the broker before it is tried again. */
export async function retryLater(
  { config, names, publisher }: DeliveryParts,
  { tier, message }: Delivery,
  attempts: number,
  wait: Wait,
): Promise<DeliveryVerdict> {
  const ms = delayOf(config.rabbitmq.retry_delays_ms, wait);
  await publisher.keep(
    again(message, names.delay(ms), names.ready(tier), {
      [ownHeaders.attempts]: attempts,
      ...expiryHeader(message),
    }),
  );
  return 'ack';
}

/** In milliseconds. */
export function delayOf(
  delays: readonly number[],
  { step, askedSeconds = 0, expiresAt }: Wait,
  from = Date.now(),
): number {
  const left = delays.slice(Math.min(step, delays.length) - 1);
  const ms = left.find((delay) => delay >= askedSeconds * 1000) ?? Math.max(...left);
  return expiresAt !== undefined && from + ms > expiresAt ? left[0]! : ms;
}

/** Replaces a message that came back nearly too often: the count begins anew with a message that is new to the broker. */
export async function renew(
  { names, publisher, log }: DeliveryParts,
  { tier, suspect, message }: Delivery,
  { task }: ResolvedTask,
): Promise<DeliveryVerdict> {
  const queue = suspect ? names.suspect(tier) : names.ready(tier);
  await publisher.keep(again(message, '', queue, expiryHeader(message)));
  log.info({ event: 'message_renewed', task_id: task.task_id, queue });
  return 'ack';
}

/**
 * The broker counts what a stopping process gives back like what a dying one leaves behind, so a message that is new to
 * it takes the count along as it was before. Only the first time counts: requeued, a task keeps its place in the queue.
 */
export async function giveBack(
  { names, publisher }: DeliveryParts,
  { tier, suspect, message }: Delivery,
): Promise<DeliveryVerdict> {
  const returns = returnsOf(message);
  if (!suspect && returns === 0) return 'requeue';
  const queue = suspect ? names.suspect(tier) : names.ready(tier);
  await publisher.keep(
    again(message, '', queue, { [ownHeaders.returns]: returns, ...expiryHeader(message) }),
  );
  return 'ack';
}

/** Sends the message to the queue of suspects. */
export async function quarantine(
  parts: DeliveryParts,
  delivery: Delivery,
  { task }: ResolvedTask,
): Promise<DeliveryVerdict> {
  const { names, publisher, log } = parts;
  log.warn({ event: 'message_suspect', task_id: task.task_id, tier: delivery.tier });
  const { message, tier } = delivery;
  await publisher.keep(again(message, '', names.suspect(tier), expiryHeader(message)));
  return 'ack';
}

/** Gives the message up, with the reason in its headers. */
export async function deadLetter(
  { config, names, publisher, log }: DeliveryParts,
  { tier, message }: Delivery,
  taskId: string | undefined,
  code: FailureCode,
  detail: string,
  attempts = countIn(message.properties.headers, ownHeaders.attempts) + 1,
): Promise<DeliveryVerdict> {
  const letter = again(message, names.deadLetters, names.ready(tier), {
    [ownHeaders.reason]: code,
    [ownHeaders.detail]: detail.slice(0, DETAIL_CHARACTERS),
    [ownHeaders.attempts]: attempts,
    [ownHeaders.queue]: names.ready(tier),
  });
  await publisher.keep(letter);
  log.warn({
    event: 'message_dead_lettered',
    ...(taskId !== undefined && { task_id: taskId }),
    message_id: letter.options.messageId,
    tier,
    code,
    detail: loggedDetail(config.log, code, detail)?.slice(0, 200),
    attempts,
  });
  return 'ack';
}

const DETAIL_CHARACTERS = 1000;
