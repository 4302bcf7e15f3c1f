import { Counter } from './counter.js';
import type { Engine } from './engine.js';
import { unitAt } from './units.js';

/** Number of tokens of the whole text, or undefined when it has more than `limit`: as soon as that is certain. */
export function countUpTo(engine: Engine, text: string, limit: number): number | undefined {
  const counter = new Counter(engine, undefined, limit);
  for (let at = 0; at < text.length; at += STEP_UNITS) {
    counter.push(text.slice(at, at + STEP_UNITS));
    if (counter.least > limit) return undefined;
  }
  counter.end();
  return counter.least > limit ? undefined : counter.settled;
}

const STEP_UNITS = 16_384;

/**
 * The longest prefix with at most `maxTokens` tokens, cut at a code point. A longer prefix may well have fewer
 * tokens than a shorter one, so the search goes down from where the settled tokens alone are too many. Where
 * the cut falls into an unbroken run of more than `WALKED_UNITS`, a prefix a little longer might fit as well.
 */
export function truncate(engine: Engine, text: string, maxTokens: number): string {
  let range: Range = { base: new Counter(engine, undefined, maxTokens), from: 0, tokens: 0, to: text.length };
  for (const step of [4096, 128, 16]) range = narrow(range, text, step, maxTokens);
  return text.slice(0, walkDown(range, text, maxTokens));
}

interface Range {
  /** Has taken the text up to `from`, where it has at most `maxTokens` if it ends. */
  readonly base: Counter;
  readonly from: number;
  /** What it has if it ends there. */
  readonly tokens: number;
  /** Longer prefixes have more than `maxTokens`. */
  readonly to: number;
}

function narrow(range: Range, text: string, step: number, maxTokens: number): Range {
  const { base, from, to } = range;
  const isNear = to - from <= step || range.tokens >= maxTokens - maxTokens / RUN_SHARE;
  if (isUnbroken(base) && isNear) return range;
  const marks = [{ base, from }];
  const counter = base.copy();
  let end = to;
  for (let at = from; at < to; ) {
    const next = Math.min(to, beforePair(text, at + step));
    counter.push(text.slice(at, next));
    if (counter.least > maxTokens) {
      end = next;
      break;
    }
    at = next;
    marks.push({ base: counter.copy(), from: at });
  }
  // At every mark what is settled fits; what waits there is still to be counted.
  let fits = 0;
  let fitting = range.tokens;
  let tooMany = marks.length;
  let guess = Math.min(FIRST_GUESS, tooMany >>> 1);
  for (let tries = 1; tooMany - fits > 1; tries++) {
    const tried = marks[guess]!;
    const tokens = leastOf(tried.base.copy());
    if (tokens <= maxTokens) [fits, fitting] = [guess, tokens];
    else tooMany = guess;
    // To count a long run costs much: go where the rate so far leads to, unless that does not lead on.
    const even = Math.floor(((tried.from * maxTokens) / tokens - from) / step);
    const middle = (fits + tooMany) >>> 1;
    guess = tries % 4 === 0 ? middle : Math.min(Math.max(even, fits + 1), tooMany - 1);
  }
  const best = marks[fits]!;
  const failed = marks[tooMany];
  return { ...best, tokens: fitting, to: isUnbroken(best.base) && failed !== undefined ? failed.from : end };
}

function walkDown({ base, from, to }: Range, text: string, maxTokens: number): number {
  // Counting a long run again for each character would take quadratic time.
  if (isUnbroken(base)) return from;
  for (let end = Math.min(to, from + WALKED_UNITS); end > from; end--) {
    if (beforePair(text, end) !== end) continue;
    const counter = base.copy();
    counter.push(text.slice(from, end));
    if (leastOf(counter) <= maxTokens) return end;
  }
  return from;
}

/** The count of a text that ends here, or more than the limit of its counter. */
function leastOf(counter: Counter): number {
  counter.end();
  return counter.least;
}

function isUnbroken(counter: Counter): boolean {
  return counter.waiting > WALKED_UNITS;
}

const WALKED_UNITS = 512;
/** In a long run the search ends where less than this share of the tokens is left. */
const RUN_SHARE = 64;
const FIRST_GUESS = 8;

/** `at`, or one less where it would split a surrogate pair. */
function beforePair(text: string, at: number): number {
  if (at <= 0 || at >= text.length) return at;
  const [high, low] = [unitAt(text, at - 1), unitAt(text, at)];
  return high >= 0xd800 && high <= 0xdbff && low >= 0xdc00 && low <= 0xdfff ? at - 1 : at;
}
