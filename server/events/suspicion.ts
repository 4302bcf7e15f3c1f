import type { ResolvedTask } from '../resolution.js';
import type { Delivery, DeliveryParts } from './delivery-parts.js';
import { countIn, returnsOf } from './message.js';

/**
 * Whether the message came back nearly too often: also a lost connection counts against what was delivered on it, and
 * the broker drops a message at the limit, whatever becomes of its task. One whose task runs here cannot have killed this
 * process, and one that waits for the store not either.
 */
export function isWornOut(
  { tasks, store }: DeliveryParts,
  { suspect, message }: Delivery,
  { task }: ResolvedTask,
): boolean {
  // While the store is away messages wait in hand, and the broker takes them back for that.
  const isHere = tasks.isAwaited(task.task_id) || !store.state().ok;
  const deliveries = suspect ? WORN_OUT_SUSPECT_DELIVERIES : WORN_OUT_DELIVERIES;
  return isHere && countIn(message.properties.headers, 'x-delivery-count') >= deliveries;
}

const WORN_OUT_DELIVERIES = 8;
const WORN_OUT_SUSPECT_DELIVERIES = 1;

/**
 * Whether the message goes to the queue of suspects: one that came back twice without an answer may have killed its
 * process. Each process reads that queue one by one, so that the next death is counted against the message alone.
 */
export async function isSuspicious(
  { tasks, store }: DeliveryParts,
  { suspect, message }: Delivery,
  { task }: ResolvedTask,
): Promise<boolean> {
  if (suspect || returnsOf(message) < SUSPECT_DELIVERIES) return false;
  if (tasks.isAwaited(task.task_id)) return false;
  return (await store.find(task.task_id))?.final !== true;
}

const SUSPECT_DELIVERIES = 2;

/** Whether it came back from the queue in which nothing is beside it, once more than it may. */
export function isConvicted({ config }: DeliveryParts, { suspect, message }: Delivery): boolean {
  return suspect && returnsOf(message) > config.rabbitmq.delivery_limit;
}

/** What is said of the task then. */
export const CONVICTED = 'each process that executed the task ended before it had an outcome';
