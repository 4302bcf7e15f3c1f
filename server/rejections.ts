import type { Failed } from '../contracts/outcome.js';
import type { Ending } from './ending.js';
import { HELD_POLL_MS, type Leases } from './leases.js';
import { unexecuted } from './outcome.js';
import { rejectedHash } from './standing.js';
import type { ArtifactStore, TaskOrigin, TaskRecord } from './store/store.js';

/** A message that names a task_id and is not a task. */
export interface Rejection {
  readonly taskId: string;
  readonly domain: string;
  readonly content: Uint8Array;
  readonly code: Failed['code'];
  readonly detail: string;
  readonly origin: TaskOrigin | undefined;
}

export interface RejectionsParts {
  readonly store: ArtifactStore;
  readonly leases: Leases;
  readonly ending: Pick<Ending, 'reject'>;
  /**
   * What is here under the task_id and may be executed; undefined when there is nothing. Resolves to false when it turns
   * out that it is not.
   */
  executed(taskId: string): Promise<boolean> | undefined;
}

/**
 * Ends tasks that never became one. Nothing is executed under the same task_id meanwhile, in no process: its end would
 * be there before it.
 */
export class Rejections {
  readonly #parts: RejectionsParts;
  readonly #underWay = new Map<string, Promise<void>>();

  constructor(parts: RejectionsParts) {
    this.#parts = parts;
  }

  /** Waits for the rejection that this process is recording, if there is one. */
  async over(taskId: string): Promise<void> {
    await this.#underWay.get(taskId);
  }

  /**
   * False when the task_id belongs to another task, which goes on as it is.
   * @throws StoreUnavailable
   */
  async reject(rejection: Rejection): Promise<boolean> {
    const { taskId } = rejection;
    for (;;) {
      const executed = this.#parts.executed(taskId);
      if (this.#underWay.has(taskId)) await this.over(taskId);
      else if (executed === undefined) break;
      else if (await executed) return false;
    }
    const rejected = this.#underLease(rejection).finally(() => this.#underWay.delete(taskId));
    const over = rejected.then(
      () => {},
      () => {},
    );
    this.#underWay.set(taskId, over);
    return rejected;
  }

  async #underLease(rejection: Rejection): Promise<boolean> {
    const { leases } = this.#parts;
    const { taskId, content } = rejection;
    const requestHash = rejectedHash(content);
    for (;;) {
      const claim = await leases.claim(taskId, requestHash);
      if (claim === 'granted') break;
      if (claim === 'conflict') return false;
      // Another process records the same, or has died before it did.
      await new Promise((resolve) => setTimeout(resolve, HELD_POLL_MS));
    }
    try {
      return await this.#record(rejection, requestHash);
    } finally {
      await leases.release(taskId);
    }
  }

  async #record({ taskId, domain, code, detail, origin }: Rejection, requestHash: string): Promise<boolean> {
    const { store, ending } = this.#parts;
    const stored = await store.find(taskId);
    if (stored?.final) return stored.requestHash === requestHash;
    if ((await store.pending(taskId))?.queuedHash !== undefined) return false;
    const { outcome, receipt } = unexecuted(taskId, requestHash, code, detail);
    const record: TaskRecord = {
      taskId,
      requestHash,
      final: true,
      domain,
      finishedAt: Date.now(),
      outcome,
      ...(origin !== undefined && { origin }),
    };
    await ending.reject(record, receipt);
    return true;
  }
}
