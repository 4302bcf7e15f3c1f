import type { TaskFailureCode } from '../contracts/failures.js';

/** Why work was stopped from outside. */
export class Interruption extends Error {
  constructor(
    readonly code: Extract<TaskFailureCode, 'cancelled' | 'shutting_down' | 'deadline_exceeded'>,
    message: string,
    /** False when the same task may be executed again: its caller only went away. */
    readonly final: boolean = false,
  ) {
    super(message);
    this.name = 'Interruption';
  }
}

/**
 * One absolute deadline, which a whole execution shares, and the one way to stop it: by the clock, or by somebody
 * who cancels. What an AbortSignal does, without its price: an event target for each task (bench: execute).
 */
export class Deadline {
  /** Milliseconds of `performance.now()`. */
  readonly at: number;
  readonly #timer: NodeJS.Timeout;
  readonly #listeners = new Set<() => void>();
  #interruption: Interruption | undefined;

  constructor(timeoutMs: number) {
    this.at = performance.now() + timeoutMs;
    this.#timer = setTimeout(() => {
      const seconds = Math.round(timeoutMs / 100) / 10;
      this.cancel(new Interruption('deadline_exceeded', `the task's limit of ${seconds} s has passed`));
    }, timeoutMs);
  }

  /** Milliseconds left; 0 when it has passed. */
  get left(): number {
    return Math.max(0, this.at - performance.now());
  }

  /** Why the work is to stop; undefined while it may go on. */
  get interruption(): Interruption | undefined {
    return this.#interruption;
  }

  /** Stops the work; the first reason counts. */
  cancel(reason: Interruption): void {
    if (this.#interruption !== undefined) return;
    this.#interruption = reason;
    for (const listener of [...this.#listeners]) listener();
    this.#listeners.clear();
  }

  /** Calls the listener once when the work is to stop; returns how to take that back. */
  onInterruption(listener: () => void): () => void {
    if (this.#interruption !== undefined) {
      listener();
      return () => {};
    }
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Frees the timer; what has happened stays as it is. */
  clear(): void {
    clearTimeout(this.#timer);
  }

  /** Waits for something that never rejects, or resolves early when the work is to stop. */
  async race(event: Promise<unknown>): Promise<void> {
    await new Promise<void>((resolve) => {
      const forget = this.onInterruption(resolve);
      void event.then(() => {
        forget();
        resolve();
      });
    });
  }

  /** Waits, or resolves early when the work is to stop. */
  async sleep(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        forget();
        resolve();
      };
      const timer = setTimeout(done, ms);
      const forget = this.onInterruption(() => setImmediate(done));
    });
  }
}
