/** What the calls of a tier's endpoint were like for a while. */
export interface CallWindow {
  /** Calls that were answered. */
  readonly answered: number;
  /** Their mean time to the first byte of the answer, in ms; 0 when there was none. */
  readonly latencyMs: number;
  /** How long before the end of the window the first of these began, in ms. */
  readonly ageMs: number;
  /** Calls that found the endpoint busy, down or out of reach. */
  readonly refused: number;
}

/** Gathers the calls of one process; a window ends after a while, so that nothing is sent or computed per call. */
export class CallMeter {
  readonly #now: () => number;
  #since: number;
  #answered = 0;
  #latencyMs = 0;
  #begunAt = Number.POSITIVE_INFINITY;
  #refused = 0;

  /** @param now milliseconds of a clock that never goes back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#since = now();
  }

  /**
   * Takes one call when it has just come that far: its time to the first byte in ms, or undefined when it was refused.
   * Returns the window when it has ended with it.
   */
  add(latencyMs: number | undefined): CallWindow | undefined {
    const now = this.#now();
    if (latencyMs === undefined) this.#refused++;
    else {
      this.#answered++;
      this.#latencyMs += latencyMs;
      this.#begunAt = Math.min(this.#begunAt, now - latencyMs);
    }
    if (this.#answered + this.#refused < WINDOW_CALLS || now - this.#since < WINDOW_MS) return undefined;
    const window = {
      answered: this.#answered,
      latencyMs: this.#answered === 0 ? 0 : this.#latencyMs / this.#answered,
      ageMs: this.#answered === 0 ? 0 : now - this.#begunAt,
      refused: this.#refused,
    };
    this.#since = now;
    this.#answered = 0;
    this.#latencyMs = 0;
    this.#begunAt = Number.POSITIVE_INFINITY;
    this.#refused = 0;
    return window;
  }
}

const WINDOW_CALLS = 5;
const WINDOW_MS = 250;

/**
 * How many tasks of a tier may run at once, so that its endpoint is busy and does not queue them: the gradient
 * algorithm of Netflix's concurrency-limits (2018), the latency at best over the latency now, with the slow start
 * of TCP (RFC 5681, 3.1), the probe for the best latency of BBR (Cardwell and others, 2016), and a decrease by a
 * factor where calls are refused, as in AIMD (Chiu and Jain, 1989).
 */
export class AdaptiveLimit {
  readonly #min: number;
  readonly #max: number;
  readonly #now: () => number;
  #estimate: number;
  #slowStart = true;
  /** Latency of the endpoint when it queues nothing, in ms. */
  #bestMs = Number.POSITIVE_INFINITY;
  #windows = 0;
  /** Since when half of the limit holds, until a window shows what that is like. */
  #probingSince: number | undefined;
  /** Since when less runs than half of the limit. */
  #quietSince: number | undefined;

  /**
   * Begins with `min`, where the endpoint shows what it does when nothing waits for anything.
   * @param now milliseconds of a clock that never goes back.
   */
  constructor(min: number, max: number, now: () => number = () => performance.now()) {
    this.#min = min;
    this.#max = max;
    this.#now = now;
    this.#estimate = min;
  }

  get limit(): number {
    const isProbing = this.#probingSince !== undefined;
    return Math.max(this.#min, Math.floor(isProbing ? this.#estimate / 2 : this.#estimate));
  }

  /** @param running how many run at its end. */
  update({ answered, latencyMs, ageMs, refused }: CallWindow, running: number): void {
    if (refused > 0) {
      this.#slowStart = false;
      this.#probingSince = undefined;
      this.#become(this.#estimate * BACKOFF);
    } else if (answered > 0) this.#learn(latencyMs, this.#now() - ageMs, running);
  }

  /** @param begunAt when the first call of the window began; those before a change were made beside more of them. */
  #learn(latencyMs: number, begunAt: number, running: number): void {
    if (this.#probingSince !== undefined) {
      if (begunAt < this.#probingSince) return;
      this.#probingSince = undefined;
      this.#bestMs = latencyMs;
      return;
    }
    if (running < this.#estimate / 2) {
      this.#quietSince ??= this.#now();
      // As good as a probe. Nothing is learnt of a higher limit.
      if (this.#bestMs === Number.POSITIVE_INFINITY) this.#bestMs = latencyMs;
      else if (begunAt >= this.#quietSince) this.#bestMs += (latencyMs - this.#bestMs) * SMOOTHING;
      return;
    }
    this.#quietSince = undefined;
    this.#bestMs = Math.min(this.#bestMs, latencyMs);
    const gradient =
      latencyMs > 0 ? Math.max(LEAST_GRADIENT, Math.min(1, (TOLERANCE * this.#bestMs) / latencyMs)) : 1;
    if (gradient < 1) this.#slowStart = false;
    this.#become(
      this.#slowStart
        ? this.#estimate * 2
        : this.#estimate + (this.#estimate * gradient + HEADROOM - this.#estimate) * SMOOTHING,
    );
    this.#windows++;
    if (this.#windows % PROBE_EVERY === 0) this.#probingSince = this.#now();
  }

  #become(estimate: number): void {
    this.#estimate = Math.min(this.#max, Math.max(this.#min, estimate));
  }
}

const TOLERANCE = 1.5;
const LEAST_GRADIENT = 0.5;
const HEADROOM = 1;
const SMOOTHING = 0.5;
const BACKOFF = 0.7;
const PROBE_EVERY = 50;
