import type { PieceEncoder } from './pieces.js';

/**
 * Reckons how many tokens a run of text has at least while it grows, window by window, each once: a token that lies
 * across a border is one that two windows have a part of.
 */
export class RunReckoner {
  /** Tokens of what is reckoned, at least. */
  least = 0;
  readonly #pieces: PieceEncoder;
  /** How far the run is reckoned, in UTF-16 units. */
  #to = 0;

  constructor(pieces: PieceEncoder) {
    this.#pieces = pieces;
  }

  /**
   * A run that has more at its end than when it was last reckoned.
   * @param leastOf what of a window is certain to be in the whole.
   */
  grow(run: string, leastOf: (window: string) => number = (window) => this.of(window)): void {
    while (run.length - this.#to >= WINDOW_UNITS) {
      let size = WINDOW_UNITS;
      let tokens = leastOf(run.slice(this.#to, this.#to + size));
      // Where tokens are long, the border takes too much of a short window.
      if (tokens < 4 * BORDER_TOKENS) {
        size = LARGE_WINDOW_UNITS;
        if (run.length - this.#to < size) return;
        tokens = leastOf(run.slice(this.#to, this.#to + size));
      }
      this.least += Math.max(0, tokens - BORDER_TOKENS);
      this.#to += size;
    }
  }

  /** Tokens of a text by itself. */
  of(window: string): number {
    return this.#pieces.encode(window, 0, window.length, undefined);
  }

  reset(): void {
    this.least = 0;
    this.#to = 0;
  }
}

const WINDOW_UNITS = 1024;
const LARGE_WINDOW_UNITS = 16_384;
/** What a window may have more than its share in the whole: merges that go on beyond it end otherwise. */
const BORDER_TOKENS = 16;
