/** Something that workers are asked, until all have answered; one that hangs is not waited for. */
export class Round {
  static #last = 0;
  readonly number = ++Round.#last;
  readonly #unanswered = new Set<number>();
  readonly #limitMs: number;
  readonly #onLate: () => void;
  #timer: NodeJS.Timeout | undefined;

  /** @param onLate called when one has not answered within `limitMs` since the first was asked; then the round is over. */
  constructor(limitMs: number, onLate: () => void) {
    this.#limitMs = limitMs;
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
    }, this.#limitMs).unref();
    this.#unanswered.add(worker);
    return this.number;
  }

  /** A worker has answered, or will not any more; false when that is no news. */
  answered(worker: number): boolean {
    const isNews = this.#unanswered.delete(worker);
    if (this.isOver) clearTimeout(this.#timer);
    return isNews;
  }
}
