import type { Deadline } from './deadline.js';

/** Leave to run one task of a tier; `release` gives it back, once. */
export interface Slot {
  release(): void;
}

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

/**
 * Who waits for a slot of a tier: HTTP callers before events, each by deadline, the earliest first; while both wait,
 * `eventsShare` of the slots that become free go to events.
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

  /** HTTP callers, in the order of their turns. */
  get http(): readonly Waiter[] {
    return this.#http;
  }

  add(waiter: Waiter, from: 'http' | 'events'): void {
    const queue = from === 'http' ? this.#http : this.#events;
    let at = queue.length;
    while (at > 0 && queue[at - 1]!.deadline.at > waiter.deadline.at) at--;
    queue.splice(at, 0, waiter);
  }

  remove(waiter: Waiter): void {
    for (const queue of [this.#http, this.#events]) {
      const at = queue.indexOf(waiter);
      if (at >= 0) queue.splice(at, 1);
    }
  }

  next(): Waiter | undefined {
    if (this.#http.length === 0) return this.#events.shift();
    if (this.#events.length === 0) return this.#http.shift();
    this.#credit += this.#eventsShare;
    if (this.#credit < 1) return this.#http.shift();
    this.#credit -= 1;
    return this.#events.shift();
  }
}
