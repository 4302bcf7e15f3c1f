import { hash } from 'node:crypto';
import type { RunningTask } from './running-task.js';
import { replayOf } from './store/lives.js';
import type { TaskRecord } from './store/store.js';

/** The same task_id with another body. */
export class Conflict extends Error {
  constructor() {
    super('task_id was used before with another body');
  }
}

/**
 * What a record means for a task: it `stands`; the task `begins anew`, in another life; or it is `open`, to be executed.
 * @throws Conflict when it is that of another body.
 */
export function standingOf(
  task: RunningTask,
  stored: TaskRecord | undefined,
): 'stands' | 'begins anew' | 'open' {
  if (stored === undefined) return 'open';
  const begins = stored.outcome.status === 'failed' && replayOf(task) > replayOf(stored);
  const wasRejected = stored.requestHash.startsWith(REJECTED);
  // A message that once was no task may have become one, by another configuration.
  const mayDiffer = wasRejected && (begins || !stored.final);
  if (stored.requestHash !== task.requestHash && !mayDiffer) throw new Conflict();
  if (!stored.final) return 'open';
  return begins ? 'begins anew' : 'stands';
}

/** Stands for the body of a message that names a task_id and is no task. */
export function rejectedHash(content: Uint8Array): string {
  return `${REJECTED}${hash('sha256', content, 'base64url')}`;
}

const REJECTED = 'rejected:';
