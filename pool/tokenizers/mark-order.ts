import { JOINS_BACKWARD } from './characters.js';
import { unitAt } from './units.js';

type Form = 'NFC' | 'NFKC';

/**
 * Puts long runs of marks into canonical order (UAX 15, 1.3), which changes nothing of the normalized text: to do so
 * takes `normalize` quadratic time, which 100,000 marks in the wrong order make seconds.
 */
export function orderMarks(text: string, form: Form, flags: Uint8Array): string {
  let ordered = '';
  let done = 0;
  // A long run is met by one of these looks at least.
  for (let at = LONG_UNITS; at < text.length; at += LONG_UNITS) {
    if (!joinsAt(text, at, flags)) continue;
    let start = at;
    while (start > done && joinsAt(text, start - 1, flags)) start--;
    let end = at + 1;
    while (end < text.length && joinsAt(text, end, flags)) end++;
    if (end - start <= LONG_UNITS) continue;
    ordered += text.slice(done, start) + inOrder(text.slice(start, end), form);
    done = end;
    at = end;
  }
  return done === 0 ? text : ordered + text.slice(done);
}

/** Whether the character that a unit belongs to may move, or combine with what stands before it. */
function joinsAt(text: string, at: number, flags: Uint8Array): boolean {
  const unit = unitAt(text, at);
  const isLow = unit >= 0xdc00 && unit < 0xe000;
  const pair = isLow && at > 0 ? text.codePointAt(at - 1)! : 0;
  const point = pair > 0xffff ? pair : text.codePointAt(at)!;
  return (flags[point]! & JOINS_BACKWARD) !== 0;
}

/** Sorts by class between characters that do not move; equal classes keep their order. */
function inOrder(run: string, form: Form): string {
  const characters = decomposed(run, form);
  const ranks = ranksOf(new Set(characters));
  let ordered = '';
  let moved: string[] = [];
  for (const character of characters) {
    const rank = ranks.get(character);
    if (rank === undefined) {
      ordered += moved.join('') + character;
      moved = [];
    } else {
      moved[rank] = (moved[rank] ?? '') + character;
    }
  }
  return ordered + moved.join('');
}

function decomposed(run: string, form: Form): string[] {
  const known = new Map<string, readonly string[]>();
  const characters: string[] = [];
  for (const character of run) {
    let parts = known.get(character);
    if (parts === undefined) {
      parts = Array.from(character.normalize(form === 'NFC' ? 'NFD' : 'NFKD'));
      known.set(character, parts);
    }
    for (const part of parts) characters.push(part);
  }
  return characters;
}

/** The ranks of the classes of the marks that move. JavaScript tells no classes, but which of two marks moves. */
function ranksOf(characters: ReadonlySet<string>): ReadonlyMap<string, number> {
  const ranks = new Map<string, number>();
  const marks = [...characters].filter((mark) => moves(mark, LOWEST) || moves(HIGHEST, mark));
  marks.sort((a, b) => (moves(a, b) ? 1 : moves(b, a) ? -1 : 0));
  let rank = 0;
  for (const [at, mark] of marks.entries()) {
    if (at > 0 && moves(mark, marks[at - 1]!)) rank++;
    ranks.set(mark, rank);
  }
  return ranks;
}

/** Whether the second mark moves before the first. */
function moves(first: string, second: string): boolean {
  return (first + second).normalize('NFD') !== first + second;
}

// Marks of the lowest class that moves, and of the highest.
const LOWEST = '\u0334';
const HIGHEST = '\u0345';
const LONG_UNITS = 64;
