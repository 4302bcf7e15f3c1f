import { Merger } from './merge.js';
import { LeastTokens } from './reaches.js';
import { unitAt } from './units.js';
import type { Vocabulary } from './vocabulary.js';

/** Encodes one piece of text, that no token crosses. Keeps short pieces: text repeats its words. */
export class PieceEncoder {
  readonly #byteSymbols: Uint32Array;
  readonly #characterSymbols: Uint32Array;
  readonly #spaceIsBlock: boolean;
  readonly #reaches: Uint16Array;
  readonly #merger: Merger;
  readonly #cache = new Int32Array(CACHE_SLOTS * SLOT_WORDS);
  readonly #key = new Int32Array(KEY_WORDS);

  constructor(vocabulary: Vocabulary) {
    this.#byteSymbols = vocabulary.byteSymbols;
    this.#characterSymbols = vocabulary.characterSymbols;
    this.#spaceIsBlock = vocabulary.description.spaceIsBlock;
    this.#reaches = vocabulary.reaches;
    this.#merger = new Merger(vocabulary.pairs, vocabulary.mergedSymbols);
  }

  /** The number of tokens of `text` from `start` to `end`; adds them to `ids` if there are any. */
  encode(text: string, start: number, end: number, ids: number[] | undefined): number {
    const length = end - start;
    if (length > KEY_UNITS) return this.#merge(text, start, end, ids);
    const slot = this.#slotOf(text, start, end);
    const cache = this.#cache;
    if (!this.#holds(slot, length)) {
      const count = this.#merge(text, start, end, ids);
      if (count <= CACHED_IDS) {
        cache[slot] = length | (count << 8);
        cache.set(this.#key, slot + 1);
        for (let at = 0; at < count; at++) cache[slot + 1 + KEY_WORDS + at] = this.#merger.symbols[at]!;
      }
      return count;
    }
    const count = cache[slot]! >>> 8;
    if (ids !== undefined) {
      for (let at = 0; at < count; at++) ids.push(cache[slot + 1 + KEY_WORDS + at]!);
    }
    return count;
  }

  /** How many tokens `text` takes at least, whatever follows it; a tenth of the cost of merging, or less. */
  least(text: string): number {
    const least = new LeastTokens(this.#reaches);
    if (this.#characterSymbols.length === 0) {
      for (const byte of utf8.encode(text)) least.add(byte);
      return least.tokens;
    }
    for (let at = 0; at < text.length; at++) {
      const point = codePointAt(text, at, text.length);
      if (point > 0xffff) at++;
      least.add(point === BLANK && this.#spaceIsBlock ? BLOCK : point);
    }
    return least.tokens;
  }

  /** Leaves the piece's units in `#key`, two a word, filled up with zeros. */
  #slotOf(text: string, start: number, end: number): number {
    const key = this.#key;
    let hash = end - start;
    let word = 0;
    let at = start;
    for (; at + 1 < end; at += 2) {
      const units = unitAt(text, at) | (unitAt(text, at + 1) << 16);
      key[word++] = units;
      hash = Math.imul(hash ^ units, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    if (at < end) {
      const unit = unitAt(text, at);
      key[word++] = unit;
      hash = Math.imul(hash ^ unit, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    while (word < KEY_WORDS) key[word++] = 0;
    return (hash & (CACHE_SLOTS - 1)) * SLOT_WORDS;
  }

  #holds(slot: number, length: number): boolean {
    const cache = this.#cache;
    if ((cache[slot]! & 0xff) !== length) return false;
    for (let word = 0; word * 2 < length; word++) {
      if (cache[slot + 1 + word] !== this.#key[word]) return false;
    }
    return true;
  }

  #merge(text: string, start: number, end: number, ids: number[] | undefined): number {
    const merger = this.#merger;
    merger.reserve(3 * (end - start));
    const length =
      this.#characterSymbols.length > 0
        ? this.#charactersInto(merger.symbols, text, start, end)
        : this.#bytesInto(merger.symbols, text, start, end);
    const count = merger.merge(length);
    if (ids !== undefined) {
      for (let at = 0; at < count; at++) ids.push(merger.symbols[at]!);
    }
    return count;
  }

  #bytesInto(symbols: Int32Array, text: string, start: number, end: number): number {
    let length = 0;
    for (let at = start; at < end; at++) {
      const unit = unitAt(text, at);
      if (unit < 0x80) {
        symbols[length++] = this.#byteSymbols[unit]!;
        continue;
      }
      const point = codePointAt(text, at, end);
      if (point > 0xffff) at++;
      length = this.#bytesOf(point, symbols, length);
    }
    return length;
  }

  /** A character that is not in the vocabulary becomes its bytes. */
  #charactersInto(symbols: Int32Array, text: string, start: number, end: number): number {
    let length = 0;
    for (let at = start; at < end; at++) {
      const read = codePointAt(text, at, end);
      if (read > 0xffff) at++;
      const point = read === BLANK && this.#spaceIsBlock ? BLOCK : read;
      const symbol = this.#characterSymbols[point]!;
      if (symbol > 0) symbols[length++] = symbol - 1;
      else length = this.#bytesOf(point, symbols, length);
    }
    return length;
  }

  #bytesOf(point: number, symbols: Int32Array, from: number): number {
    const bytes = this.#byteSymbols;
    let at = from;
    if (point < 0x80) {
      symbols[at++] = bytes[point]!;
    } else if (point < 0x800) {
      symbols[at++] = bytes[0xc0 | (point >>> 6)]!;
      symbols[at++] = bytes[0x80 | (point & 63)]!;
    } else if (point < 0x10000) {
      symbols[at++] = bytes[0xe0 | (point >>> 12)]!;
      symbols[at++] = bytes[0x80 | ((point >>> 6) & 63)]!;
      symbols[at++] = bytes[0x80 | (point & 63)]!;
    } else {
      symbols[at++] = bytes[0xf0 | (point >>> 18)]!;
      symbols[at++] = bytes[0x80 | ((point >>> 12) & 63)]!;
      symbols[at++] = bytes[0x80 | ((point >>> 6) & 63)]!;
      symbols[at++] = bytes[0x80 | (point & 63)]!;
    }
    return at;
  }
}

/** A slot is one cache line of 64 bytes: `length:8 tokens:24`, the key, the tokens. */
const SLOT_WORDS = 16;
const KEY_WORDS = 8;
const KEY_UNITS = 2 * KEY_WORDS;
const CACHED_IDS = SLOT_WORDS - 1 - KEY_WORDS;
/** 2 MiB a thread and tokenizer. */
const CACHE_SLOTS = 2 ** 15;

const utf8 = new TextEncoder();
const BLANK = 0x20;
const BLOCK = 0x2581;

/** A lone surrogate is U+FFFD, as everywhere in UTF-8. */
function codePointAt(text: string, at: number, end: number): number {
  const unit = unitAt(text, at);
  if (unit < 0xd800 || unit > 0xdfff) return unit;
  const low = at + 1 < end && unit < 0xdc00 ? unitAt(text, at + 1) : 0;
  return low >= 0xdc00 && low <= 0xdfff ? 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00) : 0xfffd;
}
