import type { Engine } from './engine.js';
import { UNDECIDED } from './pre-tokenizers.js';
import { RunReckoner } from './run-reckoner.js';
import { unitAt } from './units.js';

/**
 * Encodes a text that arrives in parts. What no later text can change is settled at once and forgotten; what
 * waits is looked at again only when it has doubled, so that a run without an end costs no more than its
 * length.
 */
export class Counter {
  /** Tokens that no later text can change. */
  settled = 0;

  readonly #engine: Engine;
  readonly #ids: number[] | undefined;
  readonly #limit: number;
  /** Not yet searched for added tokens, or not yet normalized. */
  #raw = '';
  /** Normalized, and not yet split: the beginning of a piece whose end is not known. */
  #open = '';
  /** Tokens of `#open`, at least, where it is long and the text has a limit. */
  #openLeast = 0;
  /** Of `#open` and of `#raw`, in a stream. */
  #runs: { readonly open: RunReckoner; readonly raw: RunReckoner } | undefined;
  #due = 0;
  #ended = false;

  /**
   * Adds the tokens to `ids` as they are settled, if given. Stops when it is certain that there are more than `limit`:
   * then `least` is greater, and `end` returns no count.
   */
  constructor(engine: Engine, ids?: number[], limit = Number.POSITIVE_INFINITY) {
    this.#engine = engine;
    this.#ids = ids;
    this.#limit = limit;
  }

  /** One whose `least` is asked for while the text arrives, also in the middle of a long run. */
  static ofStream(engine: Engine): Counter {
    const counter = new Counter(engine);
    counter.#runs = { open: new RunReckoner(engine.pieces), raw: new RunReckoner(engine.pieces) };
    return counter;
  }

  /**
   * Takes the next part of the text; returns the tokens so far that no later text can change.
   * @throws {Error} after `end`.
   */
  push(text: string): number {
    if (this.#ended) throw new Error('the text has ended');
    this.#raw += text;
    if (this.waiting >= this.#due) {
      this.#advance(false);
      this.#due = 2 * this.waiting;
    }
    return this.settled;
  }

  /** Tokens that no later text can bring the count below: the settled ones, and a lower bound of a long run. */
  get least(): number {
    const runs = this.#runs;
    return this.settled + this.#openLeast + (runs === undefined ? 0 : runs.open.least + runs.raw.least);
  }

  /** Ends the text; returns the exact count, which is that of the whole text. */
  end(): number {
    if (!this.#ended) this.#advance(true);
    this.#ended = true;
    return this.settled;
  }

  /** A counter that goes on from here on its own, without ids, and not as one of a stream. */
  copy(): Counter {
    const copy = new Counter(this.#engine, undefined, this.#limit);
    copy.settled = this.settled;
    copy.#raw = this.#raw;
    copy.#open = this.#open;
    copy.#openLeast = this.#openLeast;
    copy.#due = this.#due;
    copy.#ended = this.#ended;
    return copy;
  }

  /** UTF-16 units that are not settled. */
  get waiting(): number {
    return this.#raw.length + this.#open.length;
  }

  #advance(final: boolean): void {
    const raw = this.#raw;
    const { addedTokens, normalizer } = this.#engine;
    const limit = final || !endsInHighSurrogate(raw) ? raw.length : raw.length - 1;
    let from = 0;
    while (addedTokens.find(raw, from, limit, final)) {
      const { start, end, id } = addedTokens;
      // What stands between two added tokens is a text of its own.
      this.#split(raw.slice(from, start), true);
      this.#ids?.push(id);
      this.settled++;
      from = end;
    }
    const cut = final ? raw.length : normalizer.cut(raw, from, addedTokens.start);
    this.#split(raw.slice(from, cut), final);
    this.#raw = raw.slice(cut);
    const run = this.#runs?.raw;
    if (cut > 0) run?.reset();
    // Marks, which are put into an order of their own before they are encoded.
    run?.grow(this.#raw, (window) => run.of(normalizer.normalize(window)) / 2);
  }

  #split(text: string, final: boolean): void {
    if (this.least > this.#limit) return;
    const { normalizer, pieceEnd, pieces } = this.#engine;
    const open = this.#open + normalizer.normalize(text);
    const ids = this.#ids;
    let start = 0;
    // Once: see unitAt.
    const { length } = open;
    while (start < length) {
      const end = pieceEnd(open, start, length, final);
      if (end === UNDECIDED || this.#isTooMuch(open, start, end)) break;
      this.settled += pieces.encode(open, start, end, ids);
      start = end;
    }
    this.#open = open.slice(start);
    if (start > 0) this.#runs?.open.reset();
    this.#runs?.open.grow(this.#open);
    const isLimited = this.#limit !== Number.POSITIVE_INFINITY;
    this.#openLeast = isLimited && this.#open.length > LONG_UNITS ? pieces.least(this.#open) : 0;
  }

  /** Whether a piece need not be encoded, because it is beyond the limit for certain. */
  #isTooMuch(open: string, start: number, end: number): boolean {
    if (end - start <= LONG_UNITS || this.#limit === Number.POSITIVE_INFINITY) return false;
    return this.settled + this.#engine.pieces.least(open.slice(start, end)) > this.#limit;
  }
}

/** From here on to count a run takes longer than to look at it before. */
const LONG_UNITS = 4096;

function endsInHighSurrogate(text: string): boolean {
  const unit = unitAt(text, text.length - 1);
  return unit >= 0xd800 && unit <= 0xdbff;
}
