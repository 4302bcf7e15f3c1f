import type { Config } from '../config/schema.js';
import type { HeldTime, Turn } from '../contracts/cluster.js';
import type { Deadline } from './deadline.js';
import { followedBy } from './held-time.js';
import { type Saturated, type Slot, type Waiter, WaitQueue } from './wait-queue.js';

export interface TierUsage {
  /** Of the node. */
  readonly limit: number;
  /** In this process. */
  readonly used: number;
  readonly waiting: number;
}

/** What TierSlots tells of itself to whoever leases slots to it. */
export interface TierWatcher {
  /** How many wait; called when that grows. */
  short(waiting: number): void;
  /** How many wait; called when one of them got his slot from another task here. */
  fewer(waiting: number): void;
  /**
   * A slot became free that is owed or somebody's elsewhere, or that nobody waits for. `turn`: whose it is, where
   * somebody waits.
   */
  idle(isOwed: boolean, turn?: Turn): void;
}

/** The slots that a process has of one tier, and who waits for them. */
export class TierSlots {
  /** Of the node; what a wait is estimated by. */
  limit: number;
  readonly #maxWaiting: number;
  readonly #queue: WaitQueue;
  readonly #watcher: TierWatcher | undefined;
  #capacity = 0;
  #used = 0;
  /** Slots to be given away instead of to the next one who waits. */
  #owed = 0;
  /** On the node, as far as is known here. */
  #held: HeldTime | undefined;
  /** What was seen here, and the node does not know yet. */
  #news: HeldTime | undefined;
  /** Who waits in other processes of the node, and in how many of these. */
  #elsewhere = nowhere;
  /** Whether it is known that no process of the node has a slot that is free. */
  #allTaken = false;

  constructor({ concurrency, max_waiting, events_share }: Config['queues'][string], watcher?: TierWatcher) {
    this.limit = concurrency;
    this.#maxWaiting = max_waiting;
    this.#queue = new WaitQueue(events_share);
    this.#watcher = watcher;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /** How many of those who wait are events. */
  get waitingEvents(): number {
    return this.#queue.eventsLength;
  }

  /** Whether others wait in other processes, as far as is known here. */
  get isContended(): boolean {
    return this.#elsewhere.processes > 0;
  }

  get hasNews(): boolean {
    return this.#news !== undefined;
  }

  usage(): TierUsage {
    return { limit: this.limit, used: this.#used, waiting: this.#queue.length };
  }

  /** What others hold elsewhere is not known: as long as there may be a slot, nobody waits for it. */
  get #isFull(): boolean {
    return this.#allTaken || this.#used + this.#queue.length >= this.limit;
  }

  /** How many of those who ask may have a slot at once, and do not wait. */
  get #room(): number {
    return this.#allTaken ? 0 : Math.max(0, this.limit - this.#used);
  }

  /** See Slots. */
  get turnaroundMs(): number | undefined {
    if (this.#held === undefined) return undefined;
    return this.#held.meanMs + (this.#isFull ? this.#estimatedWaitMs(this.#queue.httpLength) : 0);
  }

  acquire(
    deadline: Deadline,
    from: Turn,
  ): Slot | Saturated | undefined | Promise<Slot | Saturated | undefined> {
    if (deadline.interruption !== undefined) return undefined;
    if (this.#used < this.#capacity) return this.#take();
    if (from === 'http') {
      const { httpLength } = this.#queue;
      if (httpLength >= this.#maxWaiting + this.#room) return saturatedFor(this.#estimatedWaitMs(httpLength));
      const waitMs = this.#estimatedWaitMs(this.#queue.httpBefore(deadline));
      if (this.#isFull && waitMs > deadline.left) return saturatedFor(waitMs);
    }
    return this.#wait(deadline, from);
  }

  /** More slots; those who wait get them at once. */
  grow(slots: number): void {
    this.#capacity += slots;
    while (this.#used < this.#capacity) {
      const waiter = this.#queue.next();
      if (waiter === undefined) {
        this.#watcher?.idle(false);
        return;
      }
      waiter.admit(this.#take());
    }
  }

  /** Takes away up to so many slots that nobody uses; returns how many it were. */
  shrink(slots: number): number {
    const idle = Math.min(slots, this.#capacity - this.#used);
    this.#capacity -= idle;
    return idle;
  }

  /**
   * Up to so many of the next slots that are released are not given to those who wait here; `idle` is told of each.
   * Returns how many it will be.
   */
  owe(slots: number): number {
    const owed = Math.min(slots, this.#used - this.#owed);
    this.#owed += owed;
    return owed;
  }

  /** Takes back up to so many of the slots that are owed; returns how many it were. */
  forgive(slots: number): number {
    const forgiven = Math.min(slots, this.#owed);
    this.#owed -= forgiven;
    return forgiven;
  }

  /** What has ended here since it was last asked, for the other processes; undefined when they know all of it. */
  news(): HeldTime | undefined {
    const news = this.#news;
    this.#news = undefined;
    return news;
  }

  /** How long slots are held on the node, without what has ended here since the last `news`: that is newer. */
  learn(held: HeldTime | undefined): void {
    if (held !== undefined) this.#held = this.#news === undefined ? held : followedBy(held, this.#news);
    if (this.#isFull) this.#refuseTheLate();
  }

  /**
   * All slots of the node are taken, and others may wait for them.
   * @param events how many of those who wait are events.
   * @param held see `learn`.
   */
  contend(waiting: number, events: number, processes: number, held?: HeldTime): void {
    this.#elsewhere = { http: waiting - events, events, processes };
    this.#allTaken = true;
    this.learn(held);
    this.#refuseTheMany();
  }

  /** What was heard of others is void. */
  forget(held?: HeldTime): void {
    this.#elsewhere = nowhere;
    this.#allTaken = false;
    this.learn(held);
  }

  /** Those who had asked for a slot and have to wait now, beyond as many as may. */
  #refuseTheMany(): void {
    const surplus = this.#queue.http.slice(this.#maxWaiting);
    if (surplus.length === 0) return;
    const saturated = saturatedFor(this.#estimatedWaitMs(this.#maxWaiting));
    for (const waiter of surplus) waiter.refuse(saturated);
    this.#watcher?.fewer(this.#queue.length);
  }

  /** Who will not have his turn in time is told so now. */
  #refuseTheLate(): void {
    let httpBefore = 0;
    for (const waiter of [...this.#queue.http]) {
      const waitMs = this.#estimatedWaitMs(httpBefore);
      if (waitMs > waiter.deadline.left) waiter.refuse(saturatedFor(waitMs));
      else httpBefore++;
    }
  }

  /**
   * Until a slot is free for an HTTP caller who has so many of his kind before him: the mean of what a slot takes, for
   * all who have their turn before him, and for those in other processes, which have their turns as often.
   */
  #estimatedWaitMs(httpBefore: number): number {
    const { http, processes } = this.#elsewhere;
    const here = this.#queue.ahead(httpBefore, this.#elsewhere) + 1;
    const turns = here + Math.min(http, here * processes);
    return ((this.#held?.meanMs ?? 0) * turns) / this.limit;
  }

  #wait(deadline: Deadline, from: Turn): Promise<Slot | Saturated | undefined> {
    return new Promise((resolve) => {
      const leave = () => {
        this.#queue.remove(waiter);
        resolve(undefined);
      };
      const waiter: Waiter = {
        deadline,
        admit: (slot) => {
          forget();
          resolve(slot);
        },
        refuse: (saturated) => {
          forget();
          this.#queue.remove(waiter);
          resolve(saturated);
        },
      };
      const forget = deadline.onInterruption(leave);
      this.#queue.add(waiter, from);
      this.#watcher?.short(this.#queue.length);
    });
  }

  #take(): Slot {
    this.#used++;
    const since = performance.now();
    let held = true;
    return {
      release: () => {
        if (!held) return;
        held = false;
        this.#used--;
        const one = { meanMs: performance.now() - since, tasks: 1 };
        this.#held = followedBy(this.#held, one);
        this.#news = followedBy(this.#news, one);
        this.#passOn();
      },
    };
  }

  #passOn(): void {
    const isOwed = this.#owed > 0;
    if (isOwed) this.#owed--;
    else if (this.#used >= this.#capacity) return;
    const turn = this.#queue.turn(this.#elsewhere);
    const waiter = isOwed || turn === undefined ? undefined : this.#queue.take(turn);
    if (waiter === undefined) {
      this.#watcher?.idle(isOwed || turn !== undefined, turn);
      return;
    }
    waiter.admit(this.#take());
    this.#watcher?.fewer(this.#queue.length);
  }
}

const nowhere = { http: 0, events: 0, processes: 0 };

function saturatedFor(waitMs: number): Saturated {
  return { retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)) };
}
