/**
 * What became of a claim. `held`: another process executes the task. `conflict`: another process executes another
 * body under this id.
 */
export type Claim = 'granted' | 'held' | 'conflict';

/**
 * The sole right to execute a task, over all processes that share a store. A process that dies loses its leases
 * after their time; a process that lives renews them by itself.
 */
export interface Leases {
  /**
   * Claims a task for this process. Claiming again what this process holds is granted again.
   * @throws StoreUnavailable when nobody can tell.
   */
  claim(taskId: string, requestHash: string): Promise<Claim>;
  /** Gives a task back; idempotent. Never throws: a lease that cannot be given back runs out. */
  release(taskId: string): Promise<void>;
  /**
   * Whether some process executes the task now; with `otherThan`, another body than that of this hash.
   * @throws StoreUnavailable when nobody can tell.
   */
  isHeld(taskId: string, otherThan?: string): Promise<boolean>;
  /** Asks whoever executes the task to cancel it; he hears of it sooner than from the note in the store. */
  requestCancel(taskId: string): Promise<void>;
  /** Called with the task_id of what this process holds and another process asked to cancel. */
  onCancelRequested: ((taskId: string) => void) | undefined;
  close(): Promise<void>;
}

/** How often somebody claims again what another process holds, in milliseconds. */
export const HELD_POLL_MS = 100;

/** The leases of a service that is one process on a store of its own: it never meets another one. */
export class LocalLeases implements Leases {
  onCancelRequested: ((taskId: string) => void) | undefined;
  /** The hash of the request by task_id. */
  readonly #held = new Map<string, string>();

  async claim(taskId: string, requestHash: string): Promise<Claim> {
    this.#held.set(taskId, requestHash);
    return 'granted';
  }

  async release(taskId: string): Promise<void> {
    this.#held.delete(taskId);
  }

  async isHeld(taskId: string, otherThan?: string): Promise<boolean> {
    return this.#held.has(taskId) && this.#held.get(taskId) !== otherThan;
  }

  async requestCancel(): Promise<void> {}

  async close(): Promise<void> {}
}
