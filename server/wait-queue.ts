import type { Turn } from '../contracts/cluster.js';
import type { Deadline } from './deadline.js';

/** Leave to run one task of a tier; `release` gives it back, once. */
export interface Slot {
  release(): void;
}

/**
 * How long a slot is kept in milliseconds where the connection of its task was cut: the other end may still have to notice,
 * and no endpoint sees more calls than there are slots.
 */
export const FREE_AFTER_MS = 50;

/** There is no room: the wait queue is full, or the wait alone would pass the deadline. */
export interface Saturated {
  readonly retryAfterSeconds: number;
}

/** Somebody who waits for a slot. */
export interface Waiter {
  readonly deadline: Deadline;
  readonly admit: (slot: Slot) => void;
  readonly refuse: (saturated: Saturated) => void;
}

/** Who waits for slots of the same tier in other processes of the node. */
export interface Elsewhere {
  readonly http: number;
  readonly events: number;
}

const nowhere: Elsewhere = { http: 0, events: 0 };

/**
 * Who waits for a slot of a tier: HTTP callers before events, each by deadline, the earliest first; while both wait,
 * here or elsewhere on the node, `eventsShare` of the slots that become free go to events.
 */
export class WaitQueue {
  readonly #http: Waiter[] = [];
  readonly #events: Waiter[] = [];
  readonly #eventsShare: number;
  /** What events have gained while HTTP callers waited as well; a whole one is an event's turn. */
  #credit = 0;

  constructor(eventsShare: number) {
    this.#eventsShare = eventsShare;
  }

  get length(): number {
    return this.#http.length + this.#events.length;
  }

  get httpLength(): number {
    return this.#http.length;
  }

  get eventsLength(): number {
    return this.#events.length;
  }

  /** How many HTTP callers have their turn before one with such a deadline. */
  httpBefore(deadline: Deadline): number {
    return placeIn(this.#http, deadline);
  }

  /** How many have their turn before an HTTP caller who has so many of his kind before him: events have their share. */
  ahead(httpBefore: number, elsewhere: Elsewhere = nowhere): number {
    const share = this.#eventsShare;
    const owed =
      share < 1
        ? Math.floor((this.#credit + (httpBefore + 1) * share - 1) / (1 - share)) + 1
        : Number.POSITIVE_INFINITY;
    return httpBefore + Math.min(this.#events.length + elsewhere.events, Math.max(0, owed));
  }

  /** HTTP callers, in the order of their turns. */
  get http(): readonly Waiter[] {
    return this.#http;
  }

  add(waiter: Waiter, from: Turn): void {
    const queue = from === 'http' ? this.#http : this.#events;
    queue.splice(placeIn(queue, waiter.deadline), 0, waiter);
  }

  remove(waiter: Waiter): void {
    for (const queue of [this.#http, this.#events]) {
      const at = queue.indexOf(waiter);
      if (at >= 0) queue.splice(at, 1);
    }
  }

  /** Takes out whose turn it is of those who wait here. */
  next(): Waiter | undefined {
    const turn = this.turn(nowhere);
    return turn && this.take(turn);
  }

  /** Whose turn it is, which may be that of somebody elsewhere; undefined when nobody waits here. */
  turn(elsewhere: Elsewhere): Turn | undefined {
    if (this.length === 0) return undefined;
    if (this.#http.length + elsewhere.http === 0) return 'events';
    if (this.#events.length + elsewhere.events === 0) return 'http';
    this.#credit += this.#eventsShare;
    if (this.#credit < 1) return 'http';
    this.#credit -= 1;
    return 'events';
  }

  take(turn: Turn): Waiter | undefined {
    return (turn === 'http' ? this.#http : this.#events).shift();
  }
}

/** Behind all whose deadline is as early. */
function placeIn(queue: readonly Waiter[], deadline: Deadline): number {
  let at = queue.length;
  while (at > 0 && queue[at - 1]!.deadline.at > deadline.at) at--;
  return at;
}
