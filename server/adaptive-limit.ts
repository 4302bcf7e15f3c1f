/** What the calls of a tier's endpoint were like for a while. */
export interface CallWindow {
  /** Calls that were answered. */
  readonly answered: number;
  /** Their mean time to the first byte of the answer, in ms; 0 when there was none. */
  readonly latencyMs: number;
  /** Calls that found the endpoint busy, down or out of reach. */
  readonly refused: number;
}

/** Gathers the calls of one process; a window ends after a while, so that nothing is sent or computed per call. */
export class CallMeter {
  readonly #now: () => number;
  #since: number;
  #answered = 0;
  #latencyMs = 0;
  #refused = 0;

  /** @param now milliseconds of a clock that never goes back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#since = now();
  }

  /**
   * Takes one call: its time to the first byte in ms, or undefined when it was refused.
   * Returns the window when it has ended with it.
   */
  add(latencyMs: number | undefined): CallWindow | undefined {
    if (latencyMs === undefined) this.#refused++;
    else {
      this.#answered++;
      this.#latencyMs += latencyMs;
    }
    const now = this.#now();
    if (this.#answered + this.#refused < WINDOW_CALLS || now - this.#since < WINDOW_MS) return undefined;
    const window = {
      answered: this.#answered,
      latencyMs: this.#answered === 0 ? 0 : this.#latencyMs / this.#answered,
      refused: this.#refused,
    };
    this.#since = now;
    this.#answered = 0;
    this.#latencyMs = 0;
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
  #estimate: number;
  #slowStart = true;
  /** Latency of the endpoint when it queues nothing, in ms. */
  #bestMs = Number.POSITIVE_INFINITY;
  #windows = 0;
  /** Windows with half of the limit that are still to come. */
  #probing = 0;

  /** Begins with `min`, where the endpoint shows what it does when nothing waits for anything. */
  constructor(min: number, max: number) {
    this.#min = min;
    this.#max = max;
    this.#estimate = min;
  }

  get limit(): number {
    return Math.max(this.#min, Math.floor(this.#probing > 0 ? this.#estimate / 2 : this.#estimate));
  }

  /** @param running how many ran at once at most. */
  update({ answered, latencyMs, refused }: CallWindow, running: number): void {
    if (refused > 0) {
      this.#slowStart = false;
      this.#probing = 0;
      this.#become(this.#estimate * BACKOFF);
    } else if (answered > 0) this.#learn(latencyMs, running);
  }

  #learn(latencyMs: number, running: number): void {
    if (this.#probing > 0) {
      this.#probing--;
      // In the windows before, calls still ended that had begun beside more of them.
      if (this.#probing === 0) this.#bestMs = latencyMs;
      return;
    }
    if (running < this.#estimate / 2) {
      // As good as a probe. Nothing is learnt of a higher limit.
      this.#bestMs =
        this.#bestMs === Number.POSITIVE_INFINITY
          ? latencyMs
          : this.#bestMs + (latencyMs - this.#bestMs) * SMOOTHING;
      return;
    }
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
    if (this.#windows % PROBE_EVERY === 0) this.#probing = PROBE_WINDOWS;
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
const PROBE_WINDOWS = 2;
