import type { ConsumeMessage } from 'amqplib';
import { answeringCodes, type FailureCode } from '../../contracts/failures.js';
import { parseEvent } from '../../contracts/parse-event.js';
import type { EventAttributes, ParsedEvent, ParsedTask } from '../../contracts/threads.js';
import { INLINE_BYTES } from '../../pool/pools.js';
import type { TaskOutcome } from '../caller.js';
import { type ResolvedTask, resolve } from '../resolution.js';
import { Conflict } from '../standing.js';
import { StoreUnavailable, type TaskOrigin, type TaskRecord } from '../store/store.js';
import type { Delivery, DeliveryParts, DeliveryVerdict } from './delivery-parts.js';
import { expiryOf } from './expiry.js';
import { deadLetter, delayOf, giveBack, quarantine, renew, retryLater, type Wait } from './forwarding.js';
import { countIn, ownHeaders, plainHeaders } from './message.js';
import { PublishRefused } from './outgoing.js';
import { CONVICTED, isConvicted, isSuspicious, isWornOut } from './suspicion.js';

/**
 * Executes the task of a message. `ack` only when its end is durable and confirmed by the broker: the terminal
 * event, the message that tries it again, or the dead letter.
 */
export async function handleDelivery(parts: DeliveryParts, delivery: Delivery): Promise<DeliveryVerdict> {
  for (;;) {
    try {
      return await handle(parts, delivery);
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      // The message stays unacked: waiting for the store costs the broker nothing and the model nothing.
      if (!(await storeIsBack(parts))) return giveBack(parts, delivery);
    }
  }
}

async function handle(parts: DeliveryParts, delivery: Delivery): Promise<DeliveryVerdict> {
  const { config, tasks } = parts;
  const { message, tier } = delivery;
  const limit = config.rabbitmq.max_message_bytes;
  if (message.content.length > limit) {
    const detail = `a message must have at most ${limit} bytes`;
    return deadLetter(parts, delivery, undefined, 'payload_too_large', detail);
  }
  const event = await read(parts, message);
  const { parsed } = event;
  const origin = originOf(message, event.attributes);
  if (parsed.kind !== 'task')
    return reject(parts, delivery, event, origin, 'invalid_request', faultOf(parsed));
  const resolved = resolve(config, parsed, tier);
  if ('code' in resolved) {
    return reject(parts, delivery, event, origin, resolved.code, resolved.detail);
  }
  if (isWornOut(parts, delivery, resolved)) return renew(parts, delivery, resolved);
  if (await isSuspicious(parts, delivery, resolved)) return quarantine(parts, delivery, resolved);
  const attempt = countIn(message.properties.headers, ownHeaders.attempts) + 1;
  const { expiresAt } = expiryOf(message, event.attributes);
  const expired = expiresAt !== undefined && expiresAt <= Date.now();
  const { max_attempts: most, retry_delays_ms } = config.rabbitmq;
  const wait = ({ finishedAt, outcome, origin }: TaskRecord) =>
    Date.now() <
    finishedAt +
      delayOf(retry_delays_ms, waitAfter(outcome, origin?.attempts ?? attempt, expiresAt), finishedAt);
  const submission = tasks.submit(resolved, {
    from: 'events',
    origin,
    lastAttempt: expired || attempt >= most,
    retries: { attempt, most, wait },
    ...(expiresAt !== undefined && { expiresAt }),
    ...(isConvicted(parts, delivery) && { givenUp: CONVICTED }),
  });
  try {
    if ('conflict' in submission) throw new Conflict();
    return await conclude(parts, delivery, resolved, await submission.ended, { attempt, expiresAt });
  } catch (error) {
    if (!(error instanceof Conflict)) throw error;
    // It may have been taken before the other body was recorded, and is not waited for any longer.
    await parts.store.dropQueued(resolved.task.task_id, resolved.requestHash);
    return deadLetter(parts, delivery, resolved.task.task_id, 'task_conflict', error.message);
  }
}

function read({ pools }: DeliveryParts, { content, properties }: ConsumeMessage) {
  const headers = plainHeaders(properties.headers);
  const job = { body: content, contentType: properties.contentType as string | undefined, headers };
  if (content.length <= INLINE_BYTES) return parseEvent(job);
  // A copy, because posting a view takes along the whole buffer of the socket that it looks into.
  return pools.parseEvent({ ...job, body: new Uint8Array(content) });
}

function originOf({ properties }: ConsumeMessage, attributes: EventAttributes): TaskOrigin | undefined {
  // An empty property is none: some clients always write one.
  const correlationId = (properties.correlationId as string | undefined) || attributes.correlationid;
  const replay = countIn(properties.headers, ownHeaders.replay);
  const origin = {
    ...(correlationId !== undefined && { correlationId }),
    ...(attributes.traceparent !== undefined && { traceparent: attributes.traceparent }),
    ...(attributes.tracestate !== undefined && { tracestate: attributes.tracestate }),
    ...(replay > 0 && { replay }),
  };
  return Object.keys(origin).length === 0 ? undefined : origin;
}

async function conclude(
  parts: DeliveryParts,
  delivery: Delivery,
  { task, requestHash }: ResolvedTask,
  { outcome, final, attempts: ofTask = 0, wasPaused = false }: TaskOutcome,
  { attempt: ofMessage, expiresAt }: { readonly attempt: number; readonly expiresAt: number | undefined },
): Promise<DeliveryVerdict> {
  const attempt = Math.max(ofMessage, ofTask);
  const giveUp = (code: FailureCode, detail: string) =>
    deadLetter(parts, delivery, task.task_id, code, detail, attempt);
  if (final) {
    const refusal = await unannounced(parts, task.task_id);
    if (refusal !== undefined) return giveUp('internal_error', refusal);
    if (outcome.status === 'completed' || answeringCodes.has(outcome.code)) return 'ack';
    return giveUp(outcome.code, outcome.detail);
  }
  if (outcome.status === 'completed') throw new Error('a completed outcome is final');
  switch (outcome.code) {
    case 'store_unavailable':
      throw new StoreUnavailable(outcome.detail);
    case 'shutting_down':
      await noteWaiting(parts, task.task_id, requestHash);
      return giveBack(parts, delivery);
    case 'cancelled':
      return 'requeue';
    case 'tier_saturated': {
      await noteWaiting(parts, task.task_id, requestHash);
      const attempts = Math.max(ofMessage - 1, ofTask);
      return retryLater(parts, delivery, attempts, { step: attempts + 1 });
    }
    case 'internal_error':
      // Not even recorded, or it would be final: a fault of ours that meets this message every time.
      if (attempt >= parts.config.rabbitmq.max_attempts) {
        await parts.store.dropQueued(task.task_id, requestHash);
        return giveUp(outcome.code, outcome.detail);
      }
      await noteWaiting(parts, task.task_id, requestHash);
      return retryLater(parts, delivery, attempt, { step: attempt });
    default: {
      await noteWaiting(parts, task.task_id, requestHash);
      const made = wasPaused ? Math.max(ofMessage - 1, ofTask) : attempt;
      return retryLater(parts, delivery, made, waitAfter(outcome, made + Number(wasPaused), expiresAt));
    }
  }
}

function waitAfter(outcome: TaskRecord['outcome'], attempt: number, expiresAt: number | undefined): Wait {
  const askedSeconds = outcome.status === 'failed' ? outcome.retry_after_seconds : undefined;
  return { step: attempt, askedSeconds, expiresAt };
}

/** Waits until the broker has the terminal event; says why when it does not take it: the sender gets a dead letter instead. */
async function unannounced({ outbox }: DeliveryParts, taskId: string): Promise<string | undefined> {
  try {
    await outbox.confirmed(taskId);
    return undefined;
  } catch (error) {
    if (!(error instanceof PublishRefused)) throw error;
    return `the broker does not take the event of its end: ${error.message}`;
  }
}

/** It waits like a task that was never tried, and may be cancelled like one. */
async function noteWaiting({ store }: DeliveryParts, taskId: string, requestHash: string): Promise<void> {
  try {
    await store.noteQueued(taskId, requestHash);
  } catch (error) {
    // It waits all the same: to handle it again would call the model at once.
    if (!(error instanceof StoreUnavailable)) throw error;
  }
}

/** Answers a message that is not a task: `task.failed` where it names a task_id, and a dead letter. */
async function reject(
  parts: DeliveryParts,
  delivery: Delivery,
  { claims }: ParsedEvent,
  origin: TaskOrigin | undefined,
  code: Extract<FailureCode, 'invalid_request' | 'unknown_domain' | 'unknown_tier'>,
  detail: string,
): Promise<DeliveryVerdict> {
  const { tasks } = parts;
  if (claims.taskId !== undefined) {
    const { content } = delivery.message;
    const rejection = { taskId: claims.taskId, domain: claims.domain ?? '', content, code, detail, origin };
    if (await tasks.reject(rejection)) await unannounced(parts, claims.taskId);
  }
  return deadLetter(parts, delivery, claims.taskId, code, detail);
}

function faultOf(parsed: Exclude<ParsedTask, { kind: 'task' }>): string {
  if (parsed.kind === 'malformed') return parsed.detail;
  return parsed.violations.map(({ path, message }) => `${path || 'the data'} ${message}`).join('; ');
}

async function storeIsBack({ store, isClosing }: DeliveryParts): Promise<boolean> {
  do {
    await new Promise((resolve) => setTimeout(resolve, STORE_POLL_MS));
    if (isClosing()) return false;
  } while (!store.state().ok);
  return true;
}

const STORE_POLL_MS = 250;
