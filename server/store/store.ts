import type { Completed, Failed, Receipt } from '../../contracts/outcome.js';

/** A completed outcome without its output, which is kept as the JSON bytes that the validating thread wrote. */
export type CompletedHead = Omit<Completed, 'output'>;

/** What is durable about a task that has ended. */
export interface TaskRecord {
  readonly taskId: string;
  /** SHA-256 of the request in canonical form; another body under the same task_id is a conflict. */
  readonly requestHash: string;
  /** True when the outcome stands for good: completed, or failed with a code that is not retryable. */
  readonly final: boolean;
  readonly domain: string;
  /** Milliseconds since the epoch. */
  readonly finishedAt: number;
  readonly outcome: CompletedHead | Failed;
}

export interface Artifact {
  readonly artifactId: string;
  readonly taskId: string;
  readonly domain: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** The output as JSON in UTF-8. */
  readonly output: Uint8Array;
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
   * stands, and the call resolves without a change.
   * @throws StoreUnavailable when the engine does not take the write (a full disk, a lost connection).
   */
  record(record: TaskRecord, receipt: Receipt, output: Uint8Array | undefined): Promise<void>;
  receipt(taskId: string): Promise<Receipt | undefined>;
  artifact(artifactId: string): Promise<Artifact | undefined>;
  /** Final outcomes whose event is not confirmed yet, oldest first, at most `limit`. */
  unpublished(limit: number): Promise<TaskRecord[]>;
  /** Clears the mark; idempotent. */
  markPublished(taskIds: readonly string[]): Promise<void>;
  /**
   * Drops ended tasks older than `maxAgeMs`, then the oldest until artifacts take at most `maxBytes`. Work
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
