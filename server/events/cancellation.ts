import type { ConsumeMessage } from 'amqplib';
import { TaskCancellation } from '../../contracts/events.js';
import { eventData } from '../../contracts/parse-event.js';
import { compile } from '../../contracts/validator.js';
import { StoreUnavailable } from '../store/store.js';
import type { DeliveryParts, DeliveryVerdict } from './delivery.js';

/** `task.cancelled`: every process hears of it; the one that runs the task stops it, the others note it. */
export async function handleCancellation(
  { tasks, log, isClosing }: DeliveryParts,
  { content, properties }: ConsumeMessage,
): Promise<DeliveryVerdict> {
  const data = eventData({
    body: content,
    contentType: properties.contentType as string | undefined,
    headers: properties.headers ?? {},
  });
  if (!cancellation.check(data)) {
    log.warn({
      event: 'cancellation_invalid',
      fault: cancellation.violations(data).map(({ path, message }) => `${path} ${message}`),
    });
    return 'ack';
  }
  for (;;) {
    try {
      await tasks.cancelWherever(data.task_id, data.reason ?? '');
      return 'ack';
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      if (isClosing()) return 'requeue';
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

const cancellation = compile(TaskCancellation);
const RETRY_MS = 1000;
