import type { ConsumeMessage } from 'amqplib';
import { eventData } from '../../contracts/parse-event.js';
import { TaskId } from '../../contracts/task.js';
import Type from '../../contracts/typebox.js';
import { compile } from '../../contracts/validator.js';
import { INLINE_BYTES } from '../../pool/pools.js';
import { StoreUnavailable } from '../store/store.js';
import type { DeliveryParts, DeliveryVerdict } from './delivery-parts.js';

/** `task.cancelled`: every process hears of it; the one that runs the task stops it, the others note it. */
export async function handleCancellation(
  parts: DeliveryParts,
  message: ConsumeMessage,
): Promise<DeliveryVerdict> {
  const { tasks, log, isClosing } = parts;
  const data = await read(parts, message);
  if (!cancellation.check(data)) {
    log.warn({
      event: 'cancellation_invalid',
      fault: cancellation.violations(data).map(({ path, message }) => `${path} ${message}`),
    });
    return 'ack';
  }
  for (;;) {
    try {
      await tasks.cancelWherever(data.task_id, typeof data.reason === 'string' ? data.reason : '');
      return 'ack';
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      if (isClosing()) return 'requeue';
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

/** What is too large for the event loop is cancelled without its reason. */
async function read(
  { pools, config }: DeliveryParts,
  { content, properties }: ConsumeMessage,
): Promise<unknown> {
  const contentType = properties.contentType as string | undefined;
  if (content.length <= INLINE_BYTES) return eventData({ body: content, contentType });
  if (content.length > config.rabbitmq.max_message_bytes) return undefined;
  const { claims } = await pools.parseEvent({ body: new Uint8Array(content), contentType, headers: {} });
  return { task_id: claims.taskId };
}

/** A cancellation is not lost over a reason that is no text. */
const cancellation = compile(Type.Object({ task_id: TaskId, reason: Type.Optional(Type.Unknown()) }));
const RETRY_MS = 1000;
