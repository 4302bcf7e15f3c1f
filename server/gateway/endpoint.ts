import {
  BrokenCircuitError,
  type CircuitBreakerPolicy,
  CircuitState,
  ConsecutiveBreaker,
  circuitBreaker,
  DelegateBackoff,
  handleWhenResult,
} from 'cockatiel';
import type { Config } from '../../config/schema.js';
import type { Deadline } from '../deadline.js';
import type { CallStart, Failure } from './call-start.js';

export interface EndpointState {
  readonly breaker: 'closed' | 'half_open' | 'open';
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** Milliseconds since the epoch until which the endpoint asked to be left alone. */
  readonly pausedUntil: number | undefined;
}

/** What is known of an endpoint beside the single call: whether it is down, and whether it asked for a pause. */
export class Endpoint {
  readonly #name: string;
  readonly #config: Config['gateway'];
  readonly #policy: CircuitBreakerPolicy;
  /** The one call that finds out whether an endpoint that was down is back; never rejects. */
  #probe: Promise<unknown> = Promise.resolve();
  #since = Date.now();
  #pausedUntil = 0;

  constructor(name: string, config: Config['gateway']) {
    this.#name = name;
    this.#config = config;
    const isUnhealthy = (result: unknown) => {
      const { start, isProbe } = result as Result;
      return start.kind === 'interrupted' ? isProbe : start.kind === 'failed' && start.unhealthy;
    };
    this.#policy = circuitBreaker(handleWhenResult(isUnhealthy), {
      // A probe that nobody waited for to its end has shown nothing: the next call is one.
      halfOpenAfter: new DelegateBackoff(({ result }) =>
        'value' in result && (result.value as Result).start.kind === 'interrupted'
          ? 0
          : config.breaker_open_ms,
      ),
      breaker: new ConsecutiveBreaker(config.breaker_failures),
    });
    this.#policy.onStateChange(() => {
      this.#since = Date.now();
    });
  }

  state(): EndpointState {
    return {
      breaker: breakerNames[this.#policy.state],
      since: this.#since,
      pausedUntil: this.#pausedUntil > Date.now() ? this.#pausedUntil : undefined,
    };
  }

  /**
   * Makes a call unless the endpoint is known to be down. One that asked for a pause, or is being tried, is waited for,
   * or not.
   */
  async call(deadline: Deadline, mayWait: boolean, run: () => Promise<CallStart>): Promise<CallStart> {
    for (;;) {
      const pauseMs = this.#pausedUntil - Date.now();
      if (pauseMs > 0) {
        if (!mayWait || pauseMs >= deadline.left)
          return { ...this.#refused('asked for a pause', pauseMs), isPaused: true };
        await deadline.sleep(pauseMs);
      } else if (this.#isHalfOpen()) {
        if (!mayWait) return this.#refused('is being tried', 0);
        await deadline.race(this.#probe);
      } else break;
      if (deadline.interruption !== undefined) return { kind: 'interrupted', called: false };
    }
    let start: CallStart;
    try {
      let isProbe = false;
      const calling = this.#policy.execute(async (): Promise<Result> => ({ start: await run(), isProbe }));
      isProbe = this.#isHalfOpen();
      if (isProbe) this.#probe = calling.catch(() => {});
      ({ start } = await calling);
    } catch (error) {
      if (!(error instanceof BrokenCircuitError)) throw error;
      const sinceMs = Date.now() - this.#since;
      return this.#refused('is down', Math.max(0, this.#config.breaker_open_ms - sinceMs));
    }
    if (start.kind === 'failed' && start.retryAfterMs !== undefined) {
      const pauseMs = Math.min(start.retryAfterMs, this.#config.pause_max_ms);
      this.#pausedUntil = Math.max(this.#pausedUntil, Date.now() + pauseMs);
    }
    return start;
  }

  #isHalfOpen(): boolean {
    return this.#policy.state === CircuitState.HalfOpen;
  }

  #refused(why: string, retryAfterMs: number): Failure {
    return {
      kind: 'failed',
      ended: 'not_called',
      code: 'gateway_unavailable',
      detail: `the endpoint ${this.#name} ${why}, and was not called`,
      // Not in this tier: another call of the same endpoint would end as this one.
      retryable: false,
      retryAfterMs,
      unhealthy: false,
    };
  }
}

interface Result {
  readonly start: CallStart;
  readonly isProbe: boolean;
}

const breakerNames = {
  [CircuitState.Closed]: 'closed',
  [CircuitState.HalfOpen]: 'half_open',
  [CircuitState.Open]: 'open',
  [CircuitState.Isolated]: 'open',
} as const;
