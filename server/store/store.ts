import type { Completed, Failed, Receipt } from '../../contracts/outcome.js';

/** A completed outcome without its output, which is kept as the JSON bytes that the validating thread wrote. */
export type CompletedHead = Omit<Completed, 'output'>;

/** What is durable about a task that has ended. */
export interface TaskRecord {
  readonly taskId: string;
  /** SHA-256 of the request in canonical form; another body under the same task_id is a conflict. */
  readonly requestHash: string;
  /** True when the outcome stands for good: completed, failed with a code that is not retryable, or at the last attempt. */
  readonly final: boolean;
  readonly domain: string;
  /** Milliseconds since the epoch. */
  readonly finishedAt: number;
  readonly outcome: CompletedHead | Failed;
  readonly origin?: TaskOrigin;
}

/** What the sender of a task wants to see again in its terminal event. */
export interface TaskOrigin {
  readonly correlationId?: string;
  /** W3C trace context. */
  readonly traceparent?: string;
  readonly tracestate?: string;
  /** How often an operator has replayed the task from the dead letters. */
  readonly replay?: number;
  /** Of a failure: the attempts at the task from the queue so far. */
  readonly attempts?: number;
}

/** What names the mark `unpublished` of a record. */
export type MarkedRecord = Pick<TaskRecord, 'taskId' | 'finishedAt'>;

export interface Artifact {
  readonly artifactId: string;
  readonly taskId: string;
  readonly domain: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** The output as JSON in UTF-8. */
  readonly output: Uint8Array;
}

/** What is known of a task that has not ended for good. */
export interface PendingTask {
  /** Present when the task waits in the broker, accepted or to be tried again: the hash of its request. */
  readonly queuedHash?: string;
  /** Present when somebody asked to cancel the task before it was executed: his reason, or an empty text. */
  readonly cancelReason?: string;
}

/**
 * Where outcomes and artifacts are kept. Two engines implement it: LMDB (embedded, one node) and PostgreSQL
 * (many nodes).
 */
export interface ArtifactStore {
  /** The record of a task that has ended, or undefined. */
  find(taskId: string): Promise<TaskRecord | undefined>;
  /**
   * Writes outcome, receipt, artifact and, for a final outcome, the mark `unpublished`, in one transaction.
   * Resolves when it is durable. A later record of the same task replaces one that is not final; a final one
   * stands, and the call resolves to false, without a change. So it does with `unlessCancelled` when it is noted that
   * the task is to be cancelled.
   * @throws StoreUnavailable when the engine does not take the write (a full disk, a lost connection).
   */
  record(
    record: TaskRecord,
    receipt: Receipt,
    output: Uint8Array | undefined,
    options?: { readonly unlessCancelled?: boolean },
  ): Promise<boolean>;
  receipt(taskId: string): Promise<Receipt | undefined>;
  artifact(artifactId: string): Promise<Artifact | undefined>;
  /**
   * Notes that a task waits in the broker, accepted or to be tried again. Durable when it resolves; without effect when the
   * task has ended for good. A final outcome drops the note.
   */
  noteQueued(taskId: string, requestHash: string): Promise<void>;
  /** Takes the note back, unless it is of another request, because the broker no longer has the task; idempotent. */
  dropQueued(taskId: string, requestHash: string): Promise<void>;
  /**
   * Notes that a task is to be cancelled, whoever comes to execute it. Durable when it resolves; without effect
   * when the task has ended for good. A final outcome drops the note.
   */
  noteCancelled(taskId: string, reason: string): Promise<void>;
  /** The notes on a task, or undefined when there are none. */
  pending(taskId: string): Promise<PendingTask | undefined>;
  /**
   * Final outcomes whose event is not confirmed yet, oldest first, at most `limit`; only those that finished
   * before `before` (ms since the epoch), when it is given.
   */
  unpublished(limit: number, before?: number): Promise<TaskRecord[]>;
  /** Whether the broker has the terminal event of a task: it has ended for good, and its mark is cleared. */
  isPublished(taskId: string): Promise<boolean>;
  /**
   * Makes a final failure not final, so that the task may be executed again; its mark is cleared. False, and
   * without effect, when the task did not fail for good.
   * @param replay the life that begins, see TaskOrigin: what an execution of an earlier one comes to is not recorded any
   * more. @default 0
   */
  reopen(taskId: string, replay?: number): Promise<boolean>;
  /** Clears the marks of records; idempotent. */
  markPublished(records: readonly MarkedRecord[]): Promise<void>;
  /**
   * Drops ended tasks, and notes, older than `maxAgeMs`, then the oldest until artifacts take at most `maxBytes`. Work
   * that is still unpublished stays. Returns how many tasks went. Works in small transactions and yields to
   * the event loop between them.
   */
  prune(now: number, limits: { readonly maxAgeMs: number; readonly maxBytes: number }): Promise<number>;
  /** Whether the engine takes writes now, and since when (ms since the epoch) that is so. */
  state(): { readonly ok: boolean; readonly since: number; readonly detail: string };
  close(): Promise<void>;
}

/** The engine did not take a write or a read; nothing was acknowledged. */
export class StoreUnavailable extends Error {
  readonly code = 'store_unavailable';
  constructor(message: string, options?: { cause: unknown }) {
    super(message, options);
    this.name = 'StoreUnavailable';
  }
}

/** The engine does not let this service in; only another configuration helps. */
export class StoreRefused extends Error {
  readonly code = 'store_refused';
  constructor(message: string, options?: { cause: unknown }) {
    super(message, options);
    this.name = 'StoreRefused';
  }
}
