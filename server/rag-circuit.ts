import {
  BrokenCircuitError,
  type CircuitBreakerPolicy,
  CircuitState,
  ConsecutiveBreaker,
  circuitBreaker,
  handleWhen,
} from 'cockatiel';
import type { Config } from '../config/schema.js';

/** A query that was not sent, because the ones before it got no answer in time. */
export class RagHangs extends Error {
  constructor() {
    super('the RAG service answers nothing, and was not asked');
  }
}

/**
 * Keeps tasks from waiting, in their slots, for a RAG service that hangs. Only queries without an answer in time count:
 * what fails at once holds nobody up, and is tried each time.
 */
export class RagCircuit {
  readonly #policy: CircuitBreakerPolicy;
  #hangsSince: number | undefined;

  constructor({ breaker_failures, breaker_open_ms }: Config['rag']) {
    this.#policy = circuitBreaker(
      // The second where no connection was made in that time.
      handleWhen(({ name }) => name === 'TimeoutError' || name === 'ConnectTimeoutError'),
      { halfOpenAfter: breaker_open_ms, breaker: new ConsecutiveBreaker(breaker_failures) },
    );
    this.#policy.onStateChange((state) => {
      // A query that tried in vain changes nothing about it.
      this.#hangsSince = state === CircuitState.Closed ? undefined : (this.#hangsSince ?? Date.now());
    });
  }

  /** Since when the service counts as hanging, in milliseconds since the epoch; undefined while it does not. */
  get hangsSince(): number | undefined {
    return this.#hangsSince;
  }

  /** @throws RagHangs at once when the service hangs, but for one query now and then that tries it. */
  async run<T>(ask: () => Promise<T>): Promise<T> {
    // Others would wait for the query that tries.
    if (this.#policy.state === CircuitState.HalfOpen) throw new RagHangs();
    try {
      return await this.#policy.execute(ask);
    } catch (error) {
      throw error instanceof BrokenCircuitError ? new RagHangs() : error;
    }
  }
}
