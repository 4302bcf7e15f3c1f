import type { Config } from '../config/schema.js';
import type { Deadline } from './deadline.js';

/** Leave to run one task of a tier; `release` gives it back, once. */
export interface Slot {
  release(): void;
}

/** There is no room: the wait queue is full. */
export interface Saturated {
  readonly retryAfterSeconds: number;
}

/** Who may run. In one process it is a counter a tier; a cluster leases slots from its primary. */
export interface Slots {
  /**
   * Resolves to a slot, to `Saturated`, or to undefined when the work was stopped first. Who is patient is never
   * told that there is no room: his work is bounded elsewhere.
   */
  acquire(tier: string, deadline: Deadline, patient?: boolean): Promise<Slot | Saturated | undefined>;
  usage(): ReadonlyMap<string, { readonly limit: number; readonly used: number; readonly waiting: number }>;
}

/** The slots of a service that is one process. */
export class LocalSlots implements Slots {
  readonly #tiers: ReadonlyMap<string, TierSlots>;

  constructor(queues: Config['queues']) {
    this.#tiers = new Map(
      Object.entries(queues).map(([tier, { concurrency, max_waiting }]) => [
        tier,
        new TierSlots(concurrency, max_waiting),
      ]),
    );
  }

  async acquire(tier: string, deadline: Deadline, patient = false): Promise<Slot | Saturated | undefined> {
    return this.#tiers.get(tier)!.acquire(deadline, patient);
  }

  usage() {
    return new Map([...this.#tiers].map(([tier, slots]) => [tier, slots.usage()]));
  }
}

interface Waiter {
  readonly deadline: Deadline;
  readonly admit: (slot: Slot | undefined) => void;
}

class TierSlots {
  #used = 0;
  /** Ordered by deadline, the earliest first. */
  readonly #waiting: Waiter[] = [];
  /** Mean time that a slot was held lately, in ms; what an honest Retry-After is made of. */
  #heldMs = 1000;

  constructor(
    readonly limit: number,
    readonly maxWaiting: number,
  ) {}

  usage() {
    return { limit: this.limit, used: this.#used, waiting: this.#waiting.length };
  }

  acquire(deadline: Deadline, patient: boolean): Slot | Saturated | undefined | Promise<Slot | undefined> {
    if (deadline.interruption !== undefined) return undefined;
    if (this.#used < this.limit) return this.#take();
    if (!patient && this.#waiting.length >= this.maxWaiting) {
      const waitMs = (this.#heldMs * (this.#waiting.length + 1)) / this.limit;
      return { retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)) };
    }
    return this.#wait(deadline);
  }

  #wait(deadline: Deadline): Promise<Slot | undefined> {
    return new Promise((resolve) => {
      const leave = () => {
        const at = this.#waiting.indexOf(waiter);
        if (at >= 0) this.#waiting.splice(at, 1);
        resolve(undefined);
      };
      const waiter: Waiter = {
        deadline,
        admit: (slot) => {
          forget();
          resolve(slot);
        },
      };
      const forget = deadline.onInterruption(leave);
      let at = this.#waiting.length;
      while (at > 0 && this.#waiting[at - 1]!.deadline.at > deadline.at) at--;
      this.#waiting.splice(at, 0, waiter);
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
        this.#heldMs += (performance.now() - since - this.#heldMs) / 16;
        if (this.#used < this.limit) this.#waiting.shift()?.admit(this.#take());
      },
    };
  }
}
