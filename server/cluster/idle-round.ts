/** Asks workers for their idle slots, until all have answered; one that hangs is not waited for. */
export class IdleRound {
  static #last = 0;
  readonly #number = ++IdleRound.#last;
  readonly #unanswered = new Set<number>();
  readonly #onLate: () => void;
  #timer: NodeJS.Timeout | undefined;

  /** @param onLate called when one has not answered in time; then the round is over. */
  constructor(onLate: () => void) {
    this.#onLate = onLate;
  }

  get isOver(): boolean {
    return this.#unanswered.size === 0;
  }

  /** A worker is asked; returns the number by which it answers. */
  ask(worker: number): number {
    this.#timer ??= setTimeout(() => {
      this.#unanswered.clear();
      this.#onLate();
    }, LIMIT_MS).unref();
    this.#unanswered.add(worker);
    return this.#number;
  }

  answered(worker: number, ask: number): void {
    if (ask === this.#number) this.gone(worker);
  }

  gone(worker: number): void {
    this.#unanswered.delete(worker);
    if (this.isOver) clearTimeout(this.#timer);
  }
}

const LIMIT_MS = 250;
