import type { HttpResponse } from 'uWebSockets.js';

/**
 * Keeps a connection whose caller reads more slowly than is written: uWebSockets.js closes one some 10 s after a write
 * that did not fit, which may be less than the caller takes for what the buffers of the system hold.
 */
export class SlowReader {
  #timer: NodeJS.Timeout | undefined;
  #since = 0;

  /**
   * @param limitMs longest time in which nothing is read; then the connection is closed.
   * @param isOver whether the answer is written, or its caller has gone.
   */
  constructor(
    readonly res: HttpResponse,
    readonly limitMs: number,
    readonly isOver: () => boolean,
  ) {}

  /** What was written does not fit. */
  isBehind(): void {
    if (this.#timer !== undefined) return;
    this.#since = performance.now();
    this.#wait();
  }

  /** Some of it was read. */
  hasRead(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #wait(): void {
    const left = this.limitMs - (performance.now() - this.#since);
    this.#timer = setTimeout(() => this.#goOn(left <= AGAIN_MS), Math.min(left, AGAIN_MS)).unref();
  }

  #goOn(isLate: boolean): void {
    if (this.isOver()) return;
    if (isLate) {
      this.res.close();
      return;
    }
    // With the end of a pause the library's time begins anew.
    this.res.pause();
    this.res.resume();
    this.#wait();
  }
}

const AGAIN_MS = 4000;
