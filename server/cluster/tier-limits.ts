import type { QueueLimits, ToWorker } from '../../contracts/cluster.js';
import { AdaptiveLimit, type CallWindow } from '../adaptive-limit.js';
import type { SlotLedger } from './slot-ledger.js';

type LimitMessage = Extract<ToWorker, { kind: 'limit' }>;

/**
 * How many tasks of each tier may run on the node. The primary's own; for all workers counts the configuration that was
 * read last, by the newest worker that listens.
 */
export class TierLimits {
  readonly #slots: SlotLedger;
  readonly #tellAll: (message: LimitMessage) => void;
  readonly #tiers = new Map<string, Tier>();
  /** The newest worker that has listened. */
  #newest = 0;

  constructor(slots: SlotLedger, tellAll: (message: LimitMessage) => void) {
    this.#slots = slots;
    this.#tellAll = tellAll;
  }

  /**
   * The worker listens. A tier that its configuration does not have keeps its limit: older workers still have tasks
   * of it.
   */
  configure(worker: number, queues: Readonly<Record<string, QueueLimits>>): void {
    if (worker < this.#newest) return;
    this.#newest = worker;
    for (const [name, queue] of Object.entries(queues)) {
      const known = this.#tiers.get(name)?.queue;
      // An adaptive limit goes on with what it has learnt.
      if (known !== undefined && isSame(known, queue)) continue;
      const tier = new Tier(queue);
      this.#tiers.set(name, tier);
      this.#resize(name, tier.limit);
    }
  }

  /** A worker tells what the endpoint of a tier was like lately. */
  adapt(name: string, window: CallWindow): void {
    const tier = this.#tiers.get(name);
    if (tier?.adaptive === undefined) return;
    const before = tier.limit;
    tier.adaptive.update(window, this.#slots.held(name));
    if (tier.limit !== before) this.#resize(name, tier.limit);
  }

  /** Of every tier, for a worker that has not been told of them. */
  messages(): readonly LimitMessage[] {
    return [...this.#tiers].map(([tier, { limit }]) => ({ kind: 'limit', tier, limit }));
  }

  #resize(tier: string, limit: number): void {
    this.#slots.resize(tier, limit);
    this.#tellAll({ kind: 'limit', tier, limit });
  }
}

class Tier {
  readonly queue: QueueLimits;
  readonly adaptive: AdaptiveLimit | undefined;

  constructor(queue: QueueLimits) {
    this.queue = queue;
    if (queue.adaptive) this.adaptive = new AdaptiveLimit(queue.min_concurrency, queue.concurrency);
  }

  get limit(): number {
    return this.adaptive?.limit ?? this.queue.concurrency;
  }
}

function isSame(a: QueueLimits, b: QueueLimits): boolean {
  return (
    a.concurrency === b.concurrency && a.adaptive === b.adaptive && a.min_concurrency === b.min_concurrency
  );
}
