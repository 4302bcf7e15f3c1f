import type { TaskOrigin, TaskRecord } from './store.js';

/** The life of a task, counted from 0: a new one begins when an operator replays it from the dead letters. */
export function replayOf({ origin }: { readonly origin?: TaskOrigin | undefined }): number {
  return origin?.replay ?? 0;
}

/** The record of a failure in the life after it, which has made no attempts yet. */
export function reopened(record: TaskRecord, replay: number): TaskRecord {
  const { attempts: _, ...origin } = record.origin ?? {};
  return { ...record, final: false, origin: { ...origin, replay } };
}
