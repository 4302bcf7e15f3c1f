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
 * One absolute deadline and one signal, which a whole execution shares. The signal aborts with an
 * `Interruption` when the deadline passes, or when somebody cancels.
 */
export class Deadline {
  /** Milliseconds of `performance.now()`. */
  readonly at: number;
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(timeoutMs: number) {
    this.at = performance.now() + timeoutMs;
    const seconds = Math.round(timeoutMs / 100) / 10;
    this.#timer = setTimeout(() => {
      this.cancel(new Interruption('deadline_exceeded', `the tier's limit of ${seconds} s has passed`));
    }, timeoutMs);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Milliseconds left; 0 when it has passed. */
  get left(): number {
    return Math.max(0, this.at - performance.now());
  }

  cancel(reason: Interruption): void {
    if (!this.signal.aborted) this.#controller.abort(reason);
  }

  /** Why the signal aborted. */
  get interruption(): Interruption | undefined {
    return this.signal.aborted ? (this.signal.reason as Interruption) : undefined;
  }

  /** Frees the timer; the signal stays as it is. */
  clear(): void {
    clearTimeout(this.#timer);
  }

  /** Waits, or resolves early when the signal aborts. */
  async sleep(ms: number): Promise<void> {
    if (this.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.signal.addEventListener('abort', done);
    });
  }
}
