/**
 * Finds workers whose event loop stands still: they answer nothing, and hold their slots, tasks and connections. Counted
 * in beats and not in time, so that a machine that was paused finds none.
 */
export class Pulse {
  /** Beats since each worker was last heard of; less than none, where it has more time. */
  readonly #silent = new Map<number, number>();
  readonly #beatMs: number;
  readonly #startMs: number;
  readonly #timer: NodeJS.Timeout;

  /**
   * @param limitMs longest time in which a worker may say nothing.
   * @param ask makes a worker that lives say something.
   * @param onStill called once of each one that did not for so long.
   * @param startMs how long a worker may take at least until it is heard of for the first time.
   */
  constructor(
    limitMs: number,
    ask: (worker: number) => void,
    onStill: (worker: number) => void,
    startMs = START_MS,
  ) {
    this.#beatMs = limitMs / BEATS;
    this.#startMs = startMs;
    this.#timer = setInterval(() => {
      for (const [worker, silent] of this.#silent) {
        if (silent < BEATS) {
          this.#silent.set(worker, silent + 1);
          ask(worker);
          continue;
        }
        this.#silent.delete(worker);
        onStill(worker);
      }
    }, this.#beatMs).unref();
  }

  /** A worker has begun to start. */
  watch(worker: number): void {
    this.#silent.set(worker, Math.min(0, BEATS - Math.ceil(this.#startMs / this.#beatMs)));
  }

  heard(worker: number): void {
    if (this.#silent.has(worker)) this.#silent.set(worker, 0);
  }

  gone(worker: number): void {
    this.#silent.delete(worker);
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

const BEATS = 6;
const START_MS = 30_000;
