import type { Config } from '../config/schema.js';
import type { Turn } from '../contracts/cluster.js';
import { AdaptiveLimit, CallMeter } from './adaptive-limit.js';
import type { Deadline } from './deadline.js';
import { TierSlots, type TierUsage } from './tier-slots.js';
import type { Saturated, Slot } from './wait-queue.js';

/** Who may run. In one process it is a counter a tier; a cluster leases slots from its primary. */
export interface Slots {
  /**
   * Resolves to a slot, to `Saturated`, or to undefined when the work was stopped first. Events are never told that
   * there is no room: how many of them wait is bounded by what the consumer takes from the broker.
   */
  acquire(tier: string, deadline: Deadline, from: Turn): Promise<Slot | Saturated | undefined>;
  usage(): ReadonlyMap<string, TierUsage>;
  /** How long a task of the tier takes that comes now, wait and work, in ms; undefined while nobody knows. */
  turnaroundMs(tier: string): number | undefined;
  /**
   * A call of the tier's endpoint: ms to its first byte, which has just come, or undefined when it was refused. For
   * adaptive limits.
   */
  observe(tier: string, latencyMs: number | undefined): void;
}

/** The slots of a service that is one process. */
export class LocalSlots implements Slots {
  readonly #tiers: ReadonlyMap<string, LocalTier>;

  constructor(queues: Config['queues']) {
    this.#tiers = new Map(Object.entries(queues).map(([tier, queue]) => [tier, new LocalTier(queue)]));
  }

  async acquire(tier: string, deadline: Deadline, from: Turn) {
    return this.#tiers.get(tier)!.slots.acquire(deadline, from);
  }

  usage() {
    return new Map([...this.#tiers].map(([tier, { slots }]) => [tier, slots.usage()]));
  }

  turnaroundMs(tier: string) {
    return this.#tiers.get(tier)!.slots.turnaroundMs;
  }

  observe(tier: string, latencyMs: number | undefined) {
    this.#tiers.get(tier)!.observe(latencyMs);
  }
}

class LocalTier {
  readonly slots: TierSlots;
  readonly #adaptive: AdaptiveLimit | undefined;
  readonly #meter = new CallMeter();
  #capacity = 0;
  /** Slots that go when the tasks on them have ended. */
  #owed = 0;

  constructor(queue: Config['queues'][string]) {
    this.slots = new TierSlots(queue, { short: () => {}, fewer: () => {}, idle: () => this.#becameIdle() });
    if (queue.adaptive) this.#adaptive = new AdaptiveLimit(queue.min_concurrency, queue.concurrency);
    this.#resize(this.#adaptive?.limit ?? queue.concurrency);
  }

  observe(latencyMs: number | undefined): void {
    if (this.#adaptive === undefined) return;
    const window = this.#meter.add(latencyMs);
    if (window === undefined) return;
    this.#adaptive.update(window, this.slots.usage().used);
    this.#resize(this.#adaptive.limit);
  }

  #resize(limit: number): void {
    this.slots.limit = limit;
    const more = limit - (this.#capacity - this.#owed);
    if (more > 0) {
      const kept = this.slots.forgive(more);
      this.#owed -= kept;
      this.#capacity += more - kept;
      this.slots.grow(more - kept);
    } else if (more < 0) {
      const idle = this.slots.shrink(-more);
      this.#capacity -= idle;
      this.#owed += this.slots.owe(-more - idle);
    }
  }

  #becameIdle(): void {
    if (this.#owed === 0) return;
    this.#owed--;
    this.#capacity -= this.slots.shrink(1);
  }
}
