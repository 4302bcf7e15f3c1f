import type { ToWorker } from '../../contracts/cluster.js';
import { onceATurn } from './once-a-turn.js';

type Grant = Extract<ToWorker, { kind: 'grant' | 'recall' | 'contended' }>;

/** The slots of a node: how many each worker holds. The primary's own; it decides, `send` tells. */
export class SlotLedger {
  readonly #tiers = new Map<string, TierLedger>();
  readonly #send: (worker: number, message: Grant) => void;

  constructor(send: (worker: number, message: Grant) => void) {
    this.#send = send;
  }

  /** @param heldMs what the worker has seen since it last said so: see HeldTime. */
  want(worker: number, tier: string, slots: number, heldMs?: number): void {
    this.#tierOf(tier).want(worker, slots, heldMs);
  }

  /** @param heldMs see `want`. */
  give(worker: number, tier: string, slots: number, heldMs?: number): void {
    this.#tierOf(tier).give(worker, slots, heldMs);
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

interface Share {
  held: number;
  wanted: number;
  /** Busy slots that it was asked to give back and has not yet. */
  recalled: number;
  /** How many wait elsewhere, as it was told. */
  told: number;
  /** How long a slot is held, in ms, as it said or was told. */
  heldMs: number | undefined;
}

class TierLedger {
  readonly #shares = new Map<number, Share>();
  /** What comes in one turn of the event loop is told together. */
  readonly #announceLater = onceATurn(() => this.#announce());
  /** Mean time that a slot was held lately, in ms, as the last worker said that had news of it. */
  #heldMs: number | undefined;
  #limit = 0;

  constructor(
    readonly tier: string,
    readonly send: (worker: number, message: Grant) => void,
  ) {}

  get heldByAll(): number {
    let held = 0;
    for (const share of this.#shares.values()) held += share.held;
    return held;
  }

  want(worker: number, slots: number, heldMs: number | undefined): void {
    const share = this.#shareOf(worker);
    this.#learn(share, heldMs);
    share.wanted = slots;
    if (slots === 0) share.told = 0;
    this.#distribute();
  }

  give(worker: number, slots: number, heldMs: number | undefined): void {
    const share = this.#shareOf(worker);
    this.#learn(share, heldMs);
    const given = Math.min(slots, share.held);
    share.held -= given;
    share.recalled = Math.max(0, share.recalled - given);
    this.#distribute();
  }

  gone(worker: number): void {
    this.#shares.delete(worker);
    this.#distribute();
  }

  resize(limit: number): void {
    this.#limit = limit;
    const asked = new Map<number, number>();
    for (let over = this.#heldAndKept() - limit; over > 0; over--) {
      const richest = this.#richest();
      if (richest === undefined) break;
      const [worker, share] = richest;
      share.recalled++;
      asked.set(worker, (asked.get(worker) ?? 0) + 1);
    }
    for (const [worker, slots] of asked)
      this.send(worker, { kind: 'recall', tier: this.tier, slots, busy: slots });
    this.#distribute();
  }

  #heldAndKept(): number {
    let kept = 0;
    for (const share of this.#shares.values()) kept += share.held - share.recalled;
    return kept;
  }

  #richest(): readonly [number, Share] | undefined {
    let richest: readonly [number, Share] | undefined;
    for (const entry of this.#shares) {
      const kept = entry[1].held - entry[1].recalled;
      if (kept > 0 && (richest === undefined || kept > richest[1].held - richest[1].recalled))
        richest = entry;
    }
    return richest;
  }

  #learn(share: Share, heldMs: number | undefined): void {
    if (heldMs === undefined) return;
    this.#heldMs = heldMs;
    share.heldMs = heldMs;
  }

  #shareOf(worker: number): Share {
    let share = this.#shares.get(worker);
    if (share === undefined) {
      share = { held: 0, wanted: 0, recalled: 0, told: 0, heldMs: undefined };
      this.#shares.set(worker, share);
    }
    return share;
  }

  /** One at a time to the one that has least of those who want. */
  #distribute(): void {
    const granted = new Map<number, number>();
    for (let free = this.#limit - this.heldByAll; free > 0; free--) {
      const next = this.#poorest();
      if (next === undefined) break;
      const [worker, share] = next;
      share.held++;
      share.wanted--;
      granted.set(worker, (granted.get(worker) ?? 0) + 1);
    }
    const heldMs = this.#heldMs;
    for (const [worker, slots] of granted) {
      this.#shareOf(worker).heldMs = heldMs;
      this.send(worker, { kind: 'grant', tier: this.tier, slots, heldMs });
    }
    this.#recall();
    this.#announceLater();
  }

  /**
   * Tells each worker in which tasks wait how many wait elsewhere, and how long a slot is held: those go before some
   * of its own.
   */
  #announce(): void {
    const waiting = [...this.#shares].filter(([, { wanted }]) => wanted > 0);
    const all = waiting.reduce((sum, [, { wanted }]) => sum + wanted, 0);
    for (const [worker, share] of waiting) {
      const elsewhere = all - share.wanted;
      if (elsewhere === share.told && !this.#isNewTo(share)) continue;
      const workers = waiting.length - 1;
      const heldMs = this.#heldMs;
      share.told = elsewhere;
      share.heldMs = heldMs;
      this.send(worker, { kind: 'contended', tier: this.tier, waiting: elsewhere, workers, heldMs });
    }
  }

  /** Whether a slot is held for another time than the worker knows. */
  #isNewTo({ heldMs }: Share): boolean {
    if (this.#heldMs === undefined) return false;
    return heldMs === undefined || Math.abs(this.#heldMs - heldMs) > NEWS * heldMs;
  }

  #poorest(): readonly [number, Share] | undefined {
    let poorest: readonly [number, Share] | undefined;
    for (const entry of this.#shares) {
      if (entry[1].wanted > 0 && (poorest === undefined || entry[1].held < poorest[1].held)) poorest = entry;
    }
    return poorest;
  }

  /**
   * Asks the others for what is missing: for all that is idle, and for busy slots of those that hold at least two
   * more, or hold any while a worker that wants has none.
   */
  #recall(): void {
    const poorest = this.#poorest();
    if (poorest === undefined) return;
    const [worker, { held, wanted }] = poorest;
    for (const [other, share] of this.#shares) {
      if (other === worker || share.held === 0) continue;
      const kept = share.held - share.recalled;
      const owes = kept - held >= 2 || (held === 0 && kept >= 1);
      const busy = owes && share.recalled === 0 ? 1 : 0;
      share.recalled += busy;
      this.send(other, { kind: 'recall', tier: this.tier, slots: wanted, busy });
    }
  }
}

/** A mean that has changed by this share is told without another cause. */
const NEWS = 0.25;
