/**
 * How long the longest token is that holds two neighbours, in bytes or in characters: what merging begins with. A
 * token of n of them lies in runs of neighbours that all reach n or more, so each is at least a share of 1/n in the
 * count of any text around it. By hash where characters are many: a greater reach only makes a lower bound weaker.
 */
export function buildReaches(tokens: Iterable<readonly number[]>, areBytes: boolean): Uint16Array {
  const reaches = new Uint16Array(areBytes ? BYTE_PAIRS : CHARACTER_PAIRS);
  for (const token of tokens) {
    if (token.length > MOST) throw new Error(`a token of ${token.length} is too long`);
    for (let at = 1; at < token.length; at++) {
      const pair = pairOf(reaches, token[at - 1]!, token[at]!);
      reaches[pair] = Math.max(reaches[pair]!, token.length);
    }
  }
  return reaches;
}

/** Adds up what the bytes or characters of a text must come to in tokens, at least. */
export class LeastTokens {
  readonly #reaches: Uint16Array;
  #sum = 0;
  #left = -1;
  /** How far the last two neighbours reach. */
  #reach = 1;

  constructor(reaches: Uint16Array) {
    this.#reaches = reaches;
  }

  add(right: number): void {
    if (this.#left >= 0) {
      const reach = this.#reaches[pairOf(this.#reaches, this.#left, right)]! || 1;
      this.#sum += 1 / Math.max(this.#reach, reach);
      this.#reach = reach;
    }
    this.#left = right;
  }

  /** The bound of what was added, if any more text may follow. */
  get tokens(): number {
    return Math.floor(this.#sum);
  }
}

const BYTE_PAIRS = 2 ** 16;
const CHARACTER_PAIRS = 2 ** 20;
const MOST = 2 ** 16 - 1;

function pairOf(reaches: Uint16Array, left: number, right: number): number {
  return reaches.length === BYTE_PAIRS
    ? (left << 8) | right
    : (Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0xc2b2ae3d)) >>> 12;
}
