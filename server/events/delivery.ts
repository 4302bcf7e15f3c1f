import type { ConsumeMessage } from 'amqplib';
import type { Config } from '../../config/schema.js';
import type { FailureCode } from '../../contracts/failures.js';
import { failures } from '../../contracts/failures.js';
import { parseEvent } from '../../contracts/parse-event.js';
import type { EventAttributes, ParsedEvent, ParsedTask } from '../../contracts/threads.js';
import { INLINE_BYTES, type Pools } from '../../pool/pools.js';
import type { TaskOutcome } from '../caller.js';
import type { Log } from '../log.js';
import { loggedDetail } from '../logged-detail.js';
import { type ResolvedTask, resolve } from '../resolution.js';
import { Conflict } from '../standing.js';
import { type ArtifactStore, StoreUnavailable, type TaskOrigin } from '../store/store.js';
import type { Tasks } from '../tasks.js';
import { again, countIn, ownHeaders, plainHeaders, returnsOf } from './message.js';
import type { Outbox } from './outbox.js';
import type { Publisher } from './publisher.js';
import type { Names } from './topology.js';

/** What becomes of a message; the consumer alone acts on it. */
export type DeliveryVerdict = 'ack' | 'requeue';

/** What handling a message needs of the service. */
export interface DeliveryParts {
  readonly config: Config;
  readonly pools: Pools;
  readonly tasks: Tasks;
  readonly store: ArtifactStore;
  readonly outbox: Outbox;
  readonly publisher: Publisher;
  readonly names: Names;
  readonly log: Log;
  isClosing(): boolean;
}

export interface Delivery {
  readonly tier: string;
  /** From the queue of those that came back once too often. */
  readonly suspect: boolean;
  readonly message: ConsumeMessage;
}

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
  const submission = tasks.submit(resolved, {
    from: 'events',
    origin,
    lastAttempt: expired || attempt >= config.rabbitmq.max_attempts,
    ...(expiresAt !== undefined && { expiresAt }),
    ...(isConvicted(parts, delivery) && { givenUp: CONVICTED }),
  });
  try {
    if ('conflict' in submission) throw new Conflict();
    return await conclude(parts, delivery, resolved, await submission.ended, attempt);
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
  const correlationId = (properties.correlationId as string | undefined) ?? attributes.correlationid;
  const replay = countIn(properties.headers, ownHeaders.replay);
  const origin = {
    ...(correlationId !== undefined && { correlationId }),
    ...(attributes.traceparent !== undefined && { traceparent: attributes.traceparent }),
    ...(attributes.tracestate !== undefined && { tracestate: attributes.tracestate }),
    ...(replay > 0 && { replay }),
  };
  return Object.keys(origin).length === 0 ? undefined : origin;
}

/** When the sender no longer wants the task, in milliseconds since the epoch. */
function expiryOf({ properties }: ConsumeMessage, { expirytime }: EventAttributes): { expiresAt?: number } {
  const { expiration, timestamp, headers } = properties;
  const times = [
    Number(headers?.[ownHeaders.expiresAt] ?? Number.NaN),
    // Seconds in AMQP; without it the time of the delivery is the best that is known.
    Number(expiration ?? Number.NaN) + (timestamp === undefined ? Date.now() : Number(timestamp) * 1000),
    Date.parse(expirytime ?? ''),
  ].filter((time) => Number.isFinite(time));
  return times.length === 0 ? {} : { expiresAt: Math.min(...times) };
}

/** As a property it would end the wait in a delay queue early, and count anew in each queue. */
function expiryHeader(message: ConsumeMessage): Record<string, number> {
  const { expiresAt } = expiryOf(message, {});
  return expiresAt === undefined ? {} : { [ownHeaders.expiresAt]: expiresAt };
}

/**
 * Also a lost connection counts against what was delivered on it, and the broker drops a message at the limit,
 * whatever becomes of its task. One whose task runs here cannot have killed this process.
 */
function isWornOut(
  { tasks }: DeliveryParts,
  { suspect, message }: Delivery,
  { task }: ResolvedTask,
): boolean {
  const deliveries = suspect ? WORN_OUT_SUSPECT_DELIVERIES : WORN_OUT_DELIVERIES;
  return (
    countIn(message.properties.headers, 'x-delivery-count') >= deliveries && tasks.isAwaited(task.task_id)
  );
}

const WORN_OUT_DELIVERIES = 8;
const WORN_OUT_SUSPECT_DELIVERIES = 1;

/** The count begins anew with a message that is new to the broker. */
async function renew(
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

/**
 * A message that came back twice without an answer may have killed its process. It goes to a queue of its own, which
 * each process reads one by one, so that the next death is counted against it alone.
 */
async function isSuspicious(
  { tasks, store }: DeliveryParts,
  { suspect, message }: Delivery,
  { task }: ResolvedTask,
): Promise<boolean> {
  if (suspect || returnsOf(message) < SUSPECT_DELIVERIES) return false;
  if (tasks.isAwaited(task.task_id)) return false;
  return (await store.find(task.task_id))?.final !== true;
}

const SUSPECT_DELIVERIES = 2;

/** It came back from the queue in which nothing is beside it, once more than it may. */
function isConvicted({ config }: DeliveryParts, { suspect, message }: Delivery): boolean {
  return suspect && returnsOf(message) > config.rabbitmq.delivery_limit;
}

const CONVICTED = 'each process that executed the task ended before it had an outcome';

async function quarantine(
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

async function conclude(
  parts: DeliveryParts,
  delivery: Delivery,
  { task, requestHash }: ResolvedTask,
  { outcome, final }: TaskOutcome,
  attempt: number,
): Promise<DeliveryVerdict> {
  if (final) {
    await parts.outbox.confirmed(task.task_id);
    if (outcome.status === 'completed' || failures[outcome.code].delivery === 'ack') return 'ack';
    return deadLetter(parts, delivery, task.task_id, outcome.code, outcome.detail);
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
    case 'tier_saturated':
      await noteWaiting(parts, task.task_id, requestHash);
      return retryLater(parts, delivery, attempt - 1, attempt);
    case 'internal_error':
      // Not even recorded, or it would be final: a fault of ours that meets this message every time.
      if (attempt >= parts.config.rabbitmq.max_attempts) {
        await parts.store.dropQueued(task.task_id, requestHash);
        return deadLetter(parts, delivery, task.task_id, outcome.code, outcome.detail);
      }
      return retryLater(parts, delivery, attempt, attempt);
    default:
      await noteWaiting(parts, task.task_id, requestHash);
      return retryLater(parts, delivery, attempt, attempt);
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

async function retryLater(
  { config, names, publisher }: DeliveryParts,
  { tier, message }: Delivery,
  attempts: number,
  step: number,
): Promise<DeliveryVerdict> {
  const delays = config.rabbitmq.retry_delays_ms;
  const ms = delays[Math.min(step, delays.length) - 1]!;
  await publisher.keep(
    again(message, names.delay(ms), names.ready(tier), {
      [ownHeaders.attempts]: attempts,
      ...expiryHeader(message),
    }),
  );
  return 'ack';
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
  const { tasks, outbox } = parts;
  if (claims.taskId !== undefined) {
    const { content } = delivery.message;
    const rejection = { taskId: claims.taskId, domain: claims.domain ?? '', content, code, detail, origin };
    if (await tasks.reject(rejection)) await outbox.confirmed(claims.taskId);
  }
  return deadLetter(parts, delivery, claims.taskId, code, detail);
}

async function deadLetter(
  { config, names, publisher, log }: DeliveryParts,
  { tier, message }: Delivery,
  taskId: string | undefined,
  code: FailureCode,
  detail: string,
): Promise<DeliveryVerdict> {
  const attempts = countIn(message.properties.headers, ownHeaders.attempts) + 1;
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
