/** What happens when: a binary heap of times. Of the same time, in no order. */
export class Schedule {
  readonly #entries: { readonly at: number; readonly run: () => void }[] = [];
  /** Simulated time, in ms. */
  now = 0;

  after(ms: number, run: () => void): void {
    const entries = this.#entries;
    const entry = { at: this.now + ms, run };
    let index = entries.push(entry) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (entries[parent]!.at <= entry.at) break;
      entries[index] = entries[parent]!;
      index = parent;
    }
    entries[index] = entry;
  }

  /** Runs until nothing is left to happen. */
  run(): void {
    for (let entry = this.#take(); entry !== undefined; entry = this.#take()) {
      this.now = entry.at;
      entry.run();
    }
  }

  #take() {
    const entries = this.#entries;
    const first = entries[0];
    const last = entries.pop();
    if (first === undefined || last === undefined || entries.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= entries.length) break;
      if (child + 1 < entries.length && entries[child + 1]!.at < entries[child]!.at) child++;
      if (entries[child]!.at >= last.at) break;
      entries[index] = entries[child]!;
      index = child;
    }
    entries[index] = last;
    return first;
  }
}
