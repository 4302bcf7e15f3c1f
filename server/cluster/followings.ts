import type { Shown, ToPrimary, ToWorker } from '../../contracts/cluster.js';

type Follow = Extract<ToPrimary, { kind: 'follow' }>;

interface Following {
  readonly asker: number;
  /** Of the asker. */
  readonly call: number;
  /** Workers that may execute the task: one does, or none has said yet. */
  readonly asked: Set<number>;
  /** The one whose events were shown. */
  source?: number;
}

/** Which worker follows a task of another one. The primary's own; it asks all, for the lease may be in a database. */
export class Followings {
  readonly #send: (worker: number, message: ToWorker) => void;
  /** By the number of each round of questions. */
  readonly #followings = new Map<number, Following>();
  readonly #rounds = new Map<string, number>();
  #last = 0;

  constructor(send: (worker: number, message: ToWorker) => void) {
    this.#send = send;
  }

  /** @param others the workers that may execute it. */
  follow(asker: number, { call, taskId, watch }: Follow, others: readonly number[]): void {
    const key = keyOf(asker, call);
    let round = this.#rounds.get(key);
    if (round === undefined) {
      this.#last++;
      round = this.#last;
      this.#rounds.set(key, round);
      this.#followings.set(round, { asker, call, asked: new Set(others) });
    }
    const { asked } = this.#followings.get(round)!;
    for (const worker of asked) this.#send(worker, { kind: 'follow', call: round, taskId, watch });
    if (asked.size === 0) this.#end(round);
  }

  unfollow(asker: number, call: number): void {
    const round = this.#rounds.get(keyOf(asker, call));
    if (round !== undefined) this.#drop(round);
  }

  shown(worker: number, round: number, shown: Shown): void {
    const following = this.#followings.get(round);
    if (!following?.asked.has(worker) || (following.source ?? worker) !== worker) {
      following?.asked.delete(worker);
      // It has taken in somebody who has another source, or is gone: it would execute the task for nobody.
      if (typeof shown === 'object') this.#send(worker, { kind: 'unfollow', call: round });
      return;
    }
    if (shown === 'absent') {
      this.#without(worker, round, following);
    } else if (shown === 'ended') {
      following.asked.delete(worker);
      this.#end(round);
    } else {
      following.source = worker;
      this.#send(following.asker, { kind: 'shown', call: following.call, shown });
    }
  }

  /** The worker is dead, with all that it executed. */
  gone(worker: number): void {
    for (const [round, following] of this.#followings) {
      if (following.asker === worker) this.#drop(round);
      else if (following.asked.has(worker)) this.#without(worker, round, following);
    }
  }

  #without(worker: number, round: number, { asked, source }: Following): void {
    asked.delete(worker);
    if (asked.size === 0 || source === worker) this.#end(round);
  }

  #end(round: number): void {
    const { asker, call } = this.#followings.get(round)!;
    this.#drop(round);
    this.#send(asker, { kind: 'shown', call, shown: 'ended' });
  }

  #drop(round: number): void {
    const { asker, call, asked } = this.#followings.get(round)!;
    this.#followings.delete(round);
    this.#rounds.delete(keyOf(asker, call));
    for (const worker of asked) this.#send(worker, { kind: 'unfollow', call: round });
  }
}

function keyOf(asker: number, call: number): string {
  return `${asker} ${call}`;
}
