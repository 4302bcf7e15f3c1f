import { type AboutGift, type AboutWant, type Grant, TierLedger } from './tier-ledger.js';

/** The slots of a node: how many each worker holds. The primary's own; it decides, `send` tells. */
export class SlotLedger {
  readonly #tiers = new Map<string, TierLedger>();
  readonly #send: (worker: number, message: Grant) => void;

  constructor(send: (worker: number, message: Grant) => void) {
    this.#send = send;
  }

  want(worker: number, tier: string, slots: number, about: AboutWant = {}): void {
    this.#tierOf(tier).want(worker, slots, about);
  }

  give(worker: number, tier: string, slots: number, about: AboutGift = {}): void {
    this.#tierOf(tier).give(worker, slots, about);
  }

  /** The worker is dead, and so is all that it ran. */
  gone(worker: number): void {
    for (const tier of this.#tiers.values()) tier.gone(worker);
  }

  /** Sets how many slots the node has; what is too much is taken back from those that hold most. */
  resize(tier: string, limit: number): void {
    this.#tierOf(tier).resize(limit);
  }

  /** Slots that workers hold, used or idle. */
  held(tier: string): number {
    return this.#tierOf(tier).heldByAll;
  }

  /** One without slots for a tier that is new: a worker may want some before its configuration is known here. */
  #tierOf(name: string): TierLedger {
    let tier = this.#tiers.get(name);
    if (tier === undefined) {
      tier = new TierLedger(name, this.#send);
      this.#tiers.set(name, tier);
    }
    return tier;
  }
}
