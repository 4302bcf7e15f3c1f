/**
 * Lets all who come within a millisecond go on together: what they send then shares a write to the socket, which costs
 * more than a frame does (decision 19).
 */
export class Moment {
  readonly #onOver: () => void;
  #present: Promise<void> | undefined;

  /** @param onOver is called at the end of each moment, before those who wait for it go on. */
  constructor(onOver: () => void) {
    this.#onOver = onOver;
  }

  /** Resolves at the end of the present moment, which begins with the first who asks. */
  over(): Promise<void> {
    this.#present ??= new Promise((resolve) => {
      setTimeout(() => {
        this.#present = undefined;
        this.#onOver();
        resolve();
      }, GATHER_MS);
    });
    return this.#present;
  }
}

const GATHER_MS = 1;
