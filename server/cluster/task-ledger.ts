import type { ClaimAnswer, TaskClaim } from '../../contracts/cluster.js';

/** Which worker of a node executes which task. The primary's own. */
export class TaskLedger {
  readonly #holders = new Map<string, { readonly worker: number; readonly requestHash: string }>();

  claim(worker: number, { call, taskId, requestHash }: TaskClaim): ClaimAnswer {
    const holder = this.#holders.get(taskId);
    if (holder !== undefined && holder.worker !== worker)
      return { call, answer: holder.requestHash === requestHash ? 'held' : 'conflict' };
    this.#holders.set(taskId, { worker, requestHash });
    return { call, answer: 'granted' };
  }

  release(worker: number, taskIds: readonly string[]): void {
    for (const taskId of taskIds)
      if (this.#holders.get(taskId)?.worker === worker) this.#holders.delete(taskId);
  }

  /** Whether a worker executes another body of the task than that of the hash. */
  isHeld(taskId: string, otherThan: string): boolean {
    const holder = this.#holders.get(taskId);
    return holder !== undefined && holder.requestHash !== otherThan;
  }

  holder(taskId: string): number | undefined {
    return this.#holders.get(taskId)?.worker;
  }

  /** The worker is dead, and so is all that it ran. */
  gone(worker: number): void {
    for (const [taskId, holder] of this.#holders) if (holder.worker === worker) this.#holders.delete(taskId);
  }
}
