import { hash } from 'node:crypto';
import type { Config } from '../../config/schema.js';
import { cloudEventsMediaType, eventSource, eventTypes } from '../../contracts/events.js';
import type { TraceContext } from '../../contracts/trace-context.js';
import type { ResolvedTask } from '../resolution.js';
import { type ArtifactStore, StoreUnavailable } from '../store/store.js';
import type { Tasks } from '../tasks.js';
import { PublishGivenUp, PublishRefused } from './outgoing.js';
import type { Publisher } from './publisher.js';
import type { Names } from './topology.js';

/** `ended`: there is an outcome to answer with at once. */
export type Acceptance =
  | 'queued'
  | 'ended'
  | 'conflict'
  | { readonly tooLarge: string }
  | { readonly unavailable: string };

export interface AcceptanceParts {
  readonly config: Config;
  readonly tasks: Tasks;
  readonly store: ArtifactStore;
  readonly publisher: Publisher;
  readonly names: Names;
}

/**
 * Hands a task to the broker, as `task.ready.{tier}`. `queued` only when the broker has confirmed it.
 * @param data the task, JSON in UTF-8, as its caller sent it
 * @throws StoreUnavailable when it cannot be noted; the broker was given nothing.
 */
export async function acceptTask(
  { config, tasks, store, publisher, names }: AcceptanceParts,
  resolved: ResolvedTask,
  data: Uint8Array,
  trace: TraceContext | undefined,
): Promise<Acceptance> {
  const { task, requestHash, tier } = resolved;
  const { task_id } = task;
  if (tasks.conflicts(resolved)) return 'conflict';
  const stored = await store.find(task_id);
  if (stored !== undefined && stored.requestHash !== requestHash) return 'conflict';
  if (stored?.final) return 'ended';
  const queued = (await store.pending(task_id))?.queuedHash;
  // What is recorded says which body is the task; the note may be of one that has yet to find that out.
  if (stored === undefined && queued !== undefined && queued !== requestHash) return 'conflict';
  if (stored === undefined && queued === undefined && (await tasks.conflictsElsewhere(resolved)))
    return 'conflict';
  const queuedBefore = queued === requestHash;
  const id = `ready-${hash('sha256', `${task_id}:${requestHash}`).slice(0, 32)}`;
  const now = new Date();
  const envelope = JSON.stringify({
    specversion: '1.0',
    type: eventTypes.taskReady,
    source: eventSource,
    id,
    time: now.toISOString(),
    subject: task_id,
    datacontenttype: 'application/json',
    ...trace,
  });
  const message = {
    exchange: names.exchange,
    routingKey: names.routing.ready(tier),
    content: Buffer.concat([
      Buffer.from(`${envelope.slice(0, -1)},"data":`),
      withoutMark(data),
      Buffer.from('}'),
    ]),
    options: {
      messageId: id,
      type: eventTypes.taskReady,
      timestamp: Math.floor(now.getTime() / 1000),
      contentType: cloudEventsMediaType,
      appId: 'worker-service',
    },
  };
  const limit = config.rabbitmq.max_message_bytes;
  if (message.content.length > limit)
    return { tooLarge: `a task to be queued must have at most ${limit} bytes, its envelope included` };
  const { bytesUnderWay } = publisher;
  if (bytesUnderWay > 0 && bytesUnderWay + message.content.length > MAX_BYTES_UNDER_WAY)
    return { unavailable: `${bytesUnderWay} bytes wait for the broker already` };
  await store.noteQueued(task_id, requestHash);
  try {
    const published = await publisher.publish(message, config.rabbitmq.confirm_timeout_ms);
    if (published === 'confirmed') {
      // The request that made the note may have taken it back meanwhile: its own message was not confirmed.
      if (queuedBefore) await noteAgain(store, resolved);
      return 'queued';
    }
    if (!queuedBefore) await store.dropQueued(task_id, requestHash);
    return { unavailable: `no queue is bound to ${message.routingKey}` };
  } catch (error) {
    if (!queuedBefore) await store.dropQueued(task_id, requestHash);
    if (error instanceof PublishGivenUp) return { unavailable: error.message };
    if (!(error instanceof PublishRefused)) throw error;
    const detail = `the broker does not take the task: ${error.message}`;
    return error.isTooLarge ? { tooLarge: detail } : { unavailable: detail };
  }
}

/** The broker has the task, whether or not that can be noted. */
async function noteAgain(store: ArtifactStore, { task, requestHash }: ResolvedTask): Promise<void> {
  try {
    await store.noteQueued(task.task_id, requestHash);
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
  }
}

/** What callers may have waiting for a broker that is away or takes nothing, together with all else that does. */
const MAX_BYTES_UNDER_WAY = 64 * 1024 * 1024;

/** A byte order mark may begin a JSON text that is parsed (RFC 8259, 8.1), and would make the envelope around it none. */
function withoutMark(data: Uint8Array): Uint8Array {
  const hasMark = data[0] === 0xef && data[1] === 0xbb && data[2] === 0xbf;
  return hasMark ? data.subarray(3) : data;
}
