/** Deaths of workers, by which a crash loop is told from bad luck. */
export class Deaths {
  readonly #times: number[] = [];

  /** Those of the last minute. */
  get count(): number {
    return this.#times.length;
  }

  /** How long to wait before the next start; undefined, with the reason, in a crash loop. @param now in ms. */
  add(now: number): { readonly backoffMs?: number; readonly message?: string } {
    this.#times.push(now);
    while (this.#times[0]! < now - WINDOW_MS) this.#times.shift();
    if (this.count > MAX_DEATHS)
      return { message: `${this.count} workers died within ${WINDOW_MS / 1000} s: the service ends` };
    return { backoffMs: Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (this.count - 1)) };
  }
}

const WINDOW_MS = 60_000;
const MAX_DEATHS = 10;
const FIRST_BACKOFF_MS = 100;
/** The longest wait before a worker is started again. */
export const MAX_BACKOFF_MS = 5_000;
