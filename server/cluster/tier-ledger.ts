import type { HeldNews, HeldTime, ToWorker, Turn } from '../../contracts/cluster.js';
import { followedBy } from '../held-time.js';
import { onceATurn } from './once-a-turn.js';
import { Round } from './round.js';

export type Grant = Extract<ToWorker, { kind: 'grant' | 'recall' | 'contended' }>;

/** What a worker says beside how many slots it wants. */
export interface AboutWant extends HeldNews {
  /** How many of the slots are for events. */
  readonly events?: number;
  /** How many of those that were granted it knew of; all, when it does not say. */
  readonly received?: number;
  /** By which the answer says what it answers. */
  readonly number?: number;
}

/** What a worker says beside how many slots it gives. */
export interface AboutGift extends HeldNews {
  /** Who is to have the first of them, where somebody waits. */
  readonly turn?: Turn | undefined;
  /** Of the recall that is answered. */
  readonly ask?: number | undefined;
}

interface Share {
  held: number;
  wanted: number;
  /** How many of those are for events. */
  events: number;
  /** Slots that it was granted so far. */
  received: number;
  /** Number of the last slot that it was granted: who waits for longest comes before others with as many slots. */
  granted: number;
  /** Busy slots that it was asked to give back and has not yet. */
  recalled: number;
  /** How many wait elsewhere, and how many of them are events, as it was told. */
  told: number;
  toldEvents: number;
  /** Whether it asked for more than it got, and does not know yet that all slots are taken. */
  asks: boolean;
  /** The round that has to be over before it is told so; undefined until there is one that began after it asked. */
  awaits: Round | undefined;
  /** Of what it said last. */
  number: number | undefined;
  /** How long a slot is held, as it was told and saw since. */
  heldTime: HeldTime | undefined;
}

/** The slots of one tier: how many each worker holds, who wants some, and who has them next. */
export class TierLedger {
  readonly #shares = new Map<number, Share>();
  /** What comes in one turn of the event loop is told together. */
  readonly #announceLater = onceATurn(() => this.#announce());
  #heldTime: HeldTime | undefined;
  /** The last one, in which the workers were asked for what is idle. */
  #round: Round | undefined;
  #limit = 0;
  #grants = 0;

  constructor(
    readonly tier: string,
    readonly send: (worker: number, message: Grant) => void,
  ) {}

  get heldByAll(): number {
    let held = 0;
    for (const share of this.#shares.values()) held += share.held;
    return held;
  }

  want(worker: number, slots: number, { held, events = 0, received, number }: AboutWant): void {
    const share = this.#shareOf(worker);
    const underWay = share.received - (received ?? share.received);
    const wanted = Math.max(0, slots - underWay);
    this.#learn(share, held);
    share.asks = wanted > 0 && (wanted > share.wanted || number !== share.number);
    share.awaits = undefined;
    share.number = number;
    share.wanted = wanted;
    share.events = Math.min(events, wanted);
    if (wanted === 0) share.told = share.toldEvents = 0;
    this.#distribute();
  }

  give(worker: number, slots: number, { held, turn, ask }: AboutGift): void {
    const share = this.#shareOf(worker);
    this.#learn(share, held);
    const given = Math.min(slots, share.held);
    share.held -= given;
    share.recalled = Math.max(0, share.recalled - given);
    if (ask !== undefined && ask === this.#round?.number) this.#round.answered(worker);
    // An answer that brings nothing is no reason to ask the others again.
    if (ask !== undefined && given === 0 && this.#asking().length === 0) this.#announceLater();
    else this.#distribute(turn);
  }

  gone(worker: number): void {
    this.#shares.delete(worker);
    this.#round?.answered(worker);
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

  #learn(share: Share, held: HeldTime | undefined): void {
    if (held === undefined) return;
    this.#heldTime = followedBy(this.#heldTime, held);
    share.heldTime = followedBy(share.heldTime, held);
  }

  #shareOf(worker: number): Share {
    let share = this.#shares.get(worker);
    if (share === undefined) {
      share = {
        held: 0,
        wanted: 0,
        events: 0,
        received: 0,
        granted: 0,
        recalled: 0,
        told: 0,
        toldEvents: 0,
        asks: false,
        awaits: undefined,
        number: undefined,
        heldTime: undefined,
      };
      this.#shares.set(worker, share);
    }
    return share;
  }

  /**
   * One at a time to the one that has least of those who want one for HTTP callers, and then of all.
   * @param first whose turn the first one is.
   */
  #distribute(first: Turn = 'http'): void {
    const granted = new Map<number, number>();
    let turn = first;
    for (let free = this.#limit - this.heldByAll; free > 0; free--) {
      const next = this.#poorest(turn);
      if (next === undefined) break;
      const [worker, share] = next;
      turn = 'http';
      share.granted = ++this.#grants;
      share.received++;
      share.held++;
      share.wanted--;
      share.events = Math.min(share.events, share.wanted);
      if (share.wanted === 0) share.told = share.toldEvents = 0;
      granted.set(worker, (granted.get(worker) ?? 0) + 1);
    }
    const held = this.#heldTime;
    for (const [worker, slots] of granted) {
      this.#shareOf(worker).heldTime = held;
      this.send(worker, { kind: 'grant', tier: this.tier, slots, held });
    }
    this.#recall();
    this.#announceLater();
  }

  /**
   * Tells each worker in which tasks wait how many wait elsewhere, and how long a slot is held: those go before some
   * of its own. As long as a slot may be idle somewhere, nobody has to wait for another.
   */
  #announce(): void {
    const waiting = [...this.#shares].filter(([, { wanted }]) => wanted > 0);
    const all = waiting.reduce((sum, [, { wanted }]) => sum + wanted, 0);
    const allEvents = waiting.reduce((sum, [, share]) => sum + share.events, 0);
    for (const [worker, share] of waiting) {
      const elsewhere = all - share.wanted;
      const events = allEvents - share.events;
      if (share.asks && share.awaits?.isOver !== true) continue;
      const isTold = elsewhere === share.told && events === share.toldEvents;
      if (isTold && !share.asks && !this.#isNewTo(share)) continue;
      const workers = waiting.length - 1;
      const held = this.#heldTime;
      const { number } = share;
      share.asks = false;
      share.told = elsewhere;
      share.toldEvents = events;
      share.heldTime = held;
      this.send(worker, {
        kind: 'contended',
        tier: this.tier,
        waiting: elsewhere,
        events,
        workers,
        held,
        ...(number !== undefined && { number }),
      });
    }
  }

  /** Whether a slot is held for another time than the worker knows. */
  #isNewTo({ heldTime }: Share): boolean {
    if (this.#heldTime === undefined) return false;
    if (heldTime === undefined) return true;
    return Math.abs(this.#heldTime.meanMs - heldTime.meanMs) > NEWS * heldTime.meanMs;
  }

  /** Of those who want a slot for whose turn it is; of all who want one, when there is none of them. */
  #poorest(turn: Turn): readonly [number, Share] | undefined {
    let poorest: readonly [number, Share] | undefined;
    let any: readonly [number, Share] | undefined;
    for (const entry of this.#shares) {
      const [, share] = entry;
      if (share.wanted === 0) continue;
      if (any === undefined || isPoorer(share, any[1])) any = entry;
      if (turn === 'http' ? !hasHttp(share) : share.events === 0) continue;
      if (poorest === undefined || isPoorer(share, poorest[1])) poorest = entry;
    }
    return poorest ?? any;
  }

  /**
   * Asks the others for what is missing: for all that is idle, and for busy slots of those that hold at least two
   * more, or hold any while a worker that wants has none. HTTP callers give events their share by themselves, and
   * nothing beyond it.
   */
  #recall(): void {
    const poorest = this.#poorest('http');
    if (poorest === undefined) return;
    const [worker, wanting] = poorest;
    const round = this.#beginRound();
    const wantedByAll = [...this.#shares.values()].reduce((sum, { wanted }) => sum + wanted, 0);
    for (const [other, share] of this.#shares) {
      if (other === worker || share.held === 0) continue;
      const kept = share.held - share.recalled;
      const owes = kept - wanting.held >= 2 || (wanting.held === 0 && kept >= 1);
      const yields = hasHttp(wanting) || !hasHttp(share);
      const busy = owes && yields && share.recalled === 0 ? 1 : 0;
      share.recalled += busy;
      const slots = wantedByAll - share.wanted;
      const ask = round === undefined ? {} : { ask: round.ask(other) };
      this.send(other, { kind: 'recall', tier: this.tier, slots, busy, ...ask });
    }
  }

  /** Who needs a round; nobody, while one is under way. */
  #asking(): readonly Share[] {
    if (this.#round?.isOver === false) return [];
    return [...this.#shares.values()].filter(({ asks, awaits }) => asks && awaits === undefined);
  }

  /** A round for those who have asked since the last one began, once that is over; undefined when there is no need of one. */
  #beginRound(): Round | undefined {
    const asking = this.#asking();
    if (asking.length === 0) return undefined;
    const round = new Round(ANSWER_MS, () => this.#distribute());
    this.#round = round;
    for (const share of asking) share.awaits = round;
    return round;
  }
}

function isPoorer(one: Share, other: Share): boolean {
  return one.held < other.held || (one.held === other.held && one.granted < other.granted);
}

function hasHttp({ wanted, events }: Share): boolean {
  return wanted > events;
}

/** What a worker has to say which slots are idle. */
const ANSWER_MS = 250;
/** A mean that has changed by this share is told without another cause. */
const NEWS = 0.25;
