import type { Log } from '../log.js';
import type { ArtifactStore, MarkedRecord, TaskRecord } from '../store/store.js';

// A mark costs a transaction, and nobody waits for it. A process that dies before publishes again, under the same id.
const MARK_AFTER_MS = 50;
const MARKS_AT_ONCE = 128;
const MARK_RETRY_MS = 500;

/** Clears in batches the marks of outcomes whose event is confirmed; tries again until the store has cleared them. */
export class PublishedMarks {
  readonly #store: ArtifactStore;
  readonly #log: Log;
  readonly #onCleared: (records: readonly MarkedRecord[]) => void;
  readonly #waiting: MarkedRecord[] = [];
  #clearing = false;
  #next: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(store: ArtifactStore, log: Log, onCleared: (records: readonly MarkedRecord[]) => void) {
    this.#store = store;
    this.#log = log;
    this.#onCleared = onCleared;
  }

  clear({ taskId, finishedAt }: TaskRecord): void {
    this.#waiting.push({ taskId, finishedAt });
    this.#clearSoon();
  }

  /** Clears what waits now, if no batch is under way. */
  async clearAll(): Promise<void> {
    clearTimeout(this.#next);
    this.#next = undefined;
    if (this.#clearing || this.#closed || this.#waiting.length === 0) return;
    this.#clearing = true;
    const records = this.#waiting.splice(0);
    try {
      await this.#store.markPublished(records);
      this.#onCleared(records);
    } catch (error) {
      this.#waiting.unshift(...records);
      if (!this.#closed) {
        this.#log.warn({ event: 'mark_failed', tasks: records.length, error: (error as Error).message });
        await new Promise((resolve) => setTimeout(resolve, MARK_RETRY_MS));
      }
    }
    this.#clearing = false;
    this.#clearSoon();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#next);
  }

  #clearSoon(): void {
    if (this.#waiting.length >= MARKS_AT_ONCE) void this.clearAll();
    else if (this.#waiting.length > 0) this.#next ??= setTimeout(() => this.clearAll(), MARK_AFTER_MS);
  }
}
