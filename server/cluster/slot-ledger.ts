import type { HeldTime, Turn } from '../../contracts/cluster.js';
import { type Grant, TierLedger } from './tier-ledger.js';

/** The slots of a node: how many each worker holds. The primary's own; it decides, `send` tells. */
export class SlotLedger {
  readonly #tiers = new Map<string, TierLedger>();
  readonly #send: (worker: number, message: Grant) => void;

  constructor(send: (worker: number, message: Grant) => void) {
    this.#send = send;
  }

  /**
   * @param held what has ended in the worker since it last said so.
   * @param events how many of the slots are for events.
   * @param received how many of those that were granted it knew of; all, when it does not say.
   * @param number by which the answer says what it answers.
   */
  want(
    worker: number,
    tier: string,
    slots: number,
    held?: HeldTime,
    events = 0,
    received?: number,
    number?: number,
  ): void {
    this.#tierOf(tier).want(worker, { slots, held, events, received, number });
  }

  /**
   * @param held see `want`.
   * @param turn who is to have the first of them, where somebody waits.
   * @param ask of the recall that is answered.
   */
  give(worker: number, tier: string, slots: number, held?: HeldTime, turn?: Turn, ask?: number): void {
    this.#tierOf(tier).give(worker, slots, held, turn, ask);
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
