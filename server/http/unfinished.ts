/** Answers that are not wholly written: their callers read more slowly than the service writes. */
export class Unfinished {
  readonly #open = new Set<object>();
  #none: (() => void) | undefined;

  /** @param writeTimeoutMs longest time in which nothing of an answer is read. */
  constructor(readonly writeTimeoutMs: number) {}

  /** Another one; the function that is returned says that it is written, or that its caller has gone. */
  begin(): () => void {
    const answer = {};
    this.#open.add(answer);
    return () => {
      this.#open.delete(answer);
      if (this.#open.size === 0) this.#none?.();
    };
  }

  /** Waits until there is none, or for `ms`. */
  async none(ms: number): Promise<void> {
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#none = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
