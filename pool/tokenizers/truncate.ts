import { Counter } from './counter.js';
import type { Engine } from './engine.js';

/**
 * The longest prefix with at most `maxTokens` tokens, cut at a code point. A longer prefix may well have fewer
 * tokens than a shorter one, so the search goes down from where the settled tokens alone are too many. Where
 * the cut falls into an unbroken run of more than `WALKED_UNITS`, a prefix a little longer might fit as well.
 */
export function truncate(engine: Engine, text: string, maxTokens: number): string {
  let range: Range = { base: new Counter(engine), from: 0, to: text.length };
  for (const step of [4096, 128, 16]) range = narrow(range, text, step, maxTokens);
  return text.slice(0, walkDown(range, text, maxTokens));
}

interface Range {
  /** Has taken the text up to `from`, where it has at most `maxTokens` if it ends. */
  readonly base: Counter;
  readonly from: number;
  /** Longer prefixes have more than `maxTokens`. */
  readonly to: number;
}

function narrow({ base, from, to }: Range, text: string, step: number, maxTokens: number): Range {
  if (step < WALKED_UNITS && isUnbroken(base) && to - from <= step) return { base, from, to };
  const marks = [{ base, from }];
  const counter = base.copy();
  let end = to;
  for (let at = from; at < to; ) {
    const next = Math.min(to, beforePair(text, at + step));
    if (counter.push(text.slice(at, next)) > maxTokens) {
      end = next;
      break;
    }
    at = next;
    marks.push({ base: counter.copy(), from: at });
  }
  // At every mark what is settled fits; what waits there is still to be counted.
  let fits = 0;
  let tooMany = marks.length;
  while (tooMany - fits > 1) {
    const middle = (fits + tooMany) >>> 1;
    if (marks[middle]!.base.copy().end() <= maxTokens) fits = middle;
    else tooMany = middle;
  }
  const best = marks[fits]!;
  const failed = marks[tooMany];
  return { ...best, to: isUnbroken(best.base) && failed !== undefined ? failed.from : end };
}

function walkDown({ base, from, to }: Range, text: string, maxTokens: number): number {
  // Counting a long run again for each character would take quadratic time.
  if (isUnbroken(base)) return from;
  for (let end = Math.min(to, from + WALKED_UNITS); end > from; end--) {
    if (beforePair(text, end) !== end) continue;
    const counter = base.copy();
    counter.push(text.slice(from, end));
    if (counter.end() <= maxTokens) return end;
  }
  return from;
}

function isUnbroken(counter: Counter): boolean {
  return counter.waiting > WALKED_UNITS;
}

const WALKED_UNITS = 512;

/** `at`, or one less where it would split a surrogate pair. */
function beforePair(text: string, at: number): number {
  if (at <= 0 || at >= text.length) return at;
  const [high, low] = [text.charCodeAt(at - 1), text.charCodeAt(at)];
  return high >= 0xd800 && high <= 0xdbff && low >= 0xdc00 && low <= 0xdfff ? at - 1 : at;
}
