import { NO_MERGE, rankOf } from './pairs.js';

/**
 * Byte-pair encoding of one piece: the pair of the lowest rank merges first, and of equal ones the leftmost.
 * Hot: `bench/tokens.ts`.
 */
export class Merger {
  /** The symbols of the piece, which `merge` replaces by its tokens. */
  symbols = new Int32Array(256);

  readonly #pairs: Uint32Array;
  readonly #mergedSymbols: Uint32Array;
  readonly #ranks = new Int32Array(SCANNED_SYMBOLS);

  constructor(pairs: Uint32Array, mergedSymbols: Uint32Array) {
    this.#pairs = pairs;
    this.#mergedSymbols = mergedSymbols;
  }

  /** Makes room for `length` symbols; what was there may be gone. */
  reserve(length: number): void {
    if (length > this.symbols.length || this.symbols.length > KEPT_SYMBOLS) {
      this.symbols = new Int32Array(Math.max(256, length));
    }
  }

  /** Merges the first `length` symbols; returns how many tokens they become. */
  merge(length: number): number {
    return length <= SCANNED_SYMBOLS ? this.#mergeByScan(length) : this.#mergeByHeap(length);
  }

  #mergeByScan(symbolCount: number): number {
    const symbols = this.symbols;
    const ranks = this.#ranks;
    const pairs = this.#pairs;
    let length = symbolCount;
    for (let at = 0; at < length - 1; at++) ranks[at] = rankOf(pairs, symbols[at]!, symbols[at + 1]!);
    while (length > 1) {
      let best = NO_MERGE;
      let where = 0;
      for (let at = 0; at < length - 1; at++) {
        const rank = ranks[at]!;
        if (rank < best) {
          best = rank;
          where = at;
        }
      }
      if (best === NO_MERGE) break;
      const merged = this.#mergedSymbols[best]!;
      symbols[where] = merged;
      length--;
      for (let at = where + 1; at < length; at++) {
        symbols[at] = symbols[at + 1]!;
        ranks[at] = ranks[at + 1]!;
      }
      if (where > 0) ranks[where - 1] = rankOf(pairs, symbols[where - 1]!, merged);
      if (where < length - 1) ranks[where] = rankOf(pairs, merged, symbols[where + 1]!);
    }
    return length;
  }

  /** O(n log n): a linked list of symbols, and a heap of `rank, place` whose stale entries are passed over. */
  #mergeByHeap(length: number): number {
    const symbols = this.symbols;
    const pairs = this.#pairs;
    const next = new Int32Array(length);
    const previous = new Int32Array(length);
    const ranks = new Int32Array(length).fill(NO_MERGE);
    // A merge adds at most two entries to the first `length - 1`.
    const heap = new MinHeap(3 * length);
    const offer = (at: number, right: number) => {
      const rank = rankOf(pairs, symbols[at]!, symbols[right]!);
      ranks[at] = rank;
      if (rank !== NO_MERGE) heap.push(rank * PLACES + at);
    };
    for (let at = 0; at < length; at++) {
      next[at] = at + 1;
      previous[at] = at - 1;
      if (at + 1 < length) offer(at, at + 1);
    }
    while (heap.size > 0) {
      const entry = heap.pop();
      const rank = Math.floor(entry / PLACES);
      const at = entry - rank * PLACES;
      if (ranks[at] !== rank) continue;
      const right = next[at]!;
      const after = next[right]!;
      symbols[at] = this.#mergedSymbols[rank]!;
      ranks[right] = NO_MERGE;
      next[at] = after;
      ranks[at] = NO_MERGE;
      if (after < length) {
        previous[after] = at;
        offer(at, after);
      }
      if (previous[at]! >= 0) offer(previous[at]!, at);
    }
    let count = 0;
    for (let at = 0; at < length; at = next[at]!) symbols[count++] = symbols[at]!;
    return count;
  }
}

/** Up to this many symbols, looking at all of them for each merge is quicker than a heap. */
const SCANNED_SYMBOLS = 48;
/** Room for a longer piece is given back. */
const KEPT_SYMBOLS = 2 ** 16;
/** More than the symbols of any piece: a string has at most 2^29 units. */
const PLACES = 2 ** 31;

class MinHeap {
  size = 0;
  readonly #entries: Float64Array;

  constructor(capacity: number) {
    this.#entries = new Float64Array(capacity);
  }

  push(entry: number): void {
    const entries = this.#entries;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (entries[parent]! <= entry) break;
      entries[at] = entries[parent]!;
      at = parent;
    }
    entries[at] = entry;
  }

  pop(): number {
    const entries = this.#entries;
    const top = entries[0]!;
    const size = --this.size;
    const last = entries[size]!;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && entries[child + 1]! < entries[child]!) child++;
      if (entries[child]! >= last) break;
      entries[at] = entries[child]!;
      at = child;
    }
    entries[at] = last;
    return top;
  }
}
