import { HIGH_SURROGATE, LETTER, LOWER, MARK, NEWLINE, NUMBER, SPACE, UPPER } from './characters.js';
import { mayJoin } from './joins.js';
import { unitAt } from './units.js';
import type { Vocabulary } from './vocabulary.js';

/**
 * Where the piece that begins at `start` ends; `start` is before `limit`. `UNDECIDED` when that hangs on what
 * comes behind `limit`; never when the text ends there (`final`).
 */
export type PieceEnd = (text: string, start: number, limit: number, final: boolean) => number;

export const UNDECIDED = -1;

/**
 * The splitting rules, scanned by hand because a regular expression neither tells how far it looked nor keeps
 * up. Each scanner has its expression beside it, and follows what backtracking would find. Hot:
 * `bench/tokens.ts`.
 */
export function pieceEndOf(vocabulary: Vocabulary): PieceEnd {
  const { characters, joins } = vocabulary;
  switch (vocabulary.description.preTokenizer) {
    case 'o200k':
      return o200k(characters);
    case 'qwen':
      return qwen(characters);
    case 'gpt2':
      return gpt2(characters);
    case 'none':
      return joined(joins, vocabulary.description.spaceIsBlock);
  }
}

/** The expressions that the scanners follow, as the tests and the compile step know them. */
export const EXPRESSIONS = {
  o200k: String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?:'(?:[sS]|[dD]|[mM]|[tT]|[lL][lL]|[vV][eE]|[rR][eE]))?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?:'(?:[sS]|[dD]|[mM]|[tT]|[lL][lL]|[vV][eE]|[rR][eE]))?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  qwen: String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  gpt2: String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
} as const;

function o200k(flags: Uint8Array): PieceEnd {
  return (text, start, limit, final) => {
    const first = flagsAt(flags, text, start, limit);
    const second = start + widthOf(first);
    const prefixed = (first & (LETTER | NUMBER | NEWLINE)) === 0;
    if (prefixed && second >= limit && !final) return UNDECIDED;
    if ((first & (NUMBER | NEWLINE)) === 0) {
      const word = prefixed ? second : start;
      const afterUpper = runEnd(flags, text, word, limit, UPPER | MARK);
      const afterWord = runEnd(flags, text, afterUpper, limit, LOWER | MARK);
      if (afterWord >= limit && !final) return UNDECIDED;
      if (afterWord > afterUpper) return withContraction(text, afterWord, limit, final);
      // No small letter behind the capitals: they give back what can stand for one, a caseless letter or mark.
      const caseless = lastCaselessEnd(flags, text, word, afterUpper);
      if (caseless > word) return withContraction(text, caseless, limit, final);
      if ((first & MARK) !== 0) return withContraction(text, second, limit, final);
      if (afterUpper > word) return withContraction(text, afterUpper, limit, final);
    }
    if ((first & NUMBER) !== 0) return numberEnd(flags, text, start, limit, final);
    const symbols = symbolsEnd(flags, text, start, second, limit);
    if (symbols > start) return trailEnd(text, symbols, limit, final, true);
    return spaceEnd(flags, text, start, limit, final, true);
  };
}

function qwen(flags: Uint8Array): PieceEnd {
  return (text, start, limit, final) => {
    const first = flagsAt(flags, text, start, limit);
    const second = start + widthOf(first);
    const prefixed = (first & (LETTER | NUMBER | NEWLINE)) === 0;
    if (prefixed && second >= limit && !final) return UNDECIDED;
    const contraction = withContraction(text, start, limit, final);
    if (contraction !== start) return contraction;
    if ((first & (NUMBER | NEWLINE)) === 0) {
      const word = prefixed ? second : start;
      const afterWord = runEnd(flags, text, word, limit, LETTER);
      if (afterWord > word) return afterWord >= limit && !final ? UNDECIDED : afterWord;
    }
    if ((first & NUMBER) !== 0) return second;
    const symbols = symbolsEnd(flags, text, start, second, limit);
    if (symbols > start) return trailEnd(text, symbols, limit, final, false);
    return spaceEnd(flags, text, start, limit, final, true);
  };
}

function gpt2(flags: Uint8Array): PieceEnd {
  return (text, start, limit, final) => {
    const first = flagsAt(flags, text, start, limit);
    const second = start + widthOf(first);
    if (second >= limit && !final) return UNDECIDED;
    const contraction = withSmallContraction(text, start, limit, final);
    if (contraction !== start) return contraction;
    const spaced = unitAt(text, start) === BLANK && second < limit;
    const run = spaced ? second : start;
    const kind = (spaced ? flagsAt(flags, text, run, limit) : first) & (LETTER | NUMBER | SPACE);
    if ((kind & SPACE) !== 0) return spaceEnd(flags, text, start, limit, final, false);
    const end =
      kind === 0 ? otherEnd(flags, text, run, limit) : runEnd(flags, text, run, limit, kindOf(kind));
    return end >= limit && !final ? UNDECIDED : end;
  };
}

function joined(joins: Uint32Array, spaceIsBlock: boolean): PieceEnd {
  return (text, start, limit, final) => {
    let left = codePointAt(text, start, limit, spaceIsBlock);
    let at = start + (left > 0xffff ? 2 : 1);
    while (at < limit) {
      const right = codePointAt(text, at, limit, spaceIsBlock);
      if (!mayJoin(joins, left, right)) return at;
      left = right;
      at += right > 0xffff ? 2 : 1;
    }
    return final ? at : UNDECIDED;
  };
}

/** `'s`, `'re` and so on in either case; `at` where none stands. */
function withContraction(text: string, at: number, limit: number, final: boolean): number {
  if (at >= limit || unitAt(text, at) !== APOSTROPHE) return at;
  if (at + 1 >= limit) return final ? at : UNDECIDED;
  return contractionEnd(text, at, limit, final, lowered(unitAt(text, at + 1)), true);
}

function withSmallContraction(text: string, at: number, limit: number, final: boolean): number {
  if (unitAt(text, at) !== APOSTROPHE || at + 1 >= limit) return at;
  return contractionEnd(text, at, limit, final, unitAt(text, at + 1), false);
}

function contractionEnd(
  text: string,
  at: number,
  limit: number,
  final: boolean,
  letter: number,
  eitherCase: boolean,
): number {
  switch (letter) {
    case 0x73: // s
    case 0x74: // t
    case 0x6d: // m
    case 0x64: // d
      return at + 2;
    case 0x6c: // l
    case 0x72: // r
    case 0x76: {
      if (at + 2 >= limit) return final ? at : UNDECIDED;
      const unit = unitAt(text, at + 2);
      const last = letter === 0x6c ? 0x6c : 0x65;
      return (eitherCase ? lowered(unit) : unit) === last ? at + 3 : at;
    }
    default:
      return at;
  }
}

/** ASCII only: `| 0x20` would also turn other characters into letters. */
function lowered(unit: number): number {
  return unit >= 0x41 && unit <= 0x5a ? unit | 0x20 : unit;
}

function numberEnd(flags: Uint8Array, text: string, start: number, limit: number, final: boolean): number {
  let at = start;
  for (let digits = 0; digits < 3; digits++) {
    if (at >= limit) return final ? at : UNDECIDED;
    const flag = flagsAt(flags, text, at, limit);
    if ((flag & NUMBER) === 0) return at;
    at += widthOf(flag);
  }
  return at;
}

/** ` ?[^\s\p{L}\p{N}]+`; `start` where none stands. */
function symbolsEnd(flags: Uint8Array, text: string, start: number, second: number, limit: number): number {
  const run = unitAt(text, start) === BLANK ? second : start;
  const end = otherEnd(flags, text, run, limit);
  return end > run ? end : start;
}

/** `[\r\n/]*` or `[\r\n]*` */
function trailEnd(text: string, from: number, limit: number, final: boolean, slashes: boolean): number {
  let at = from;
  for (; at < limit; at++) {
    const unit = unitAt(text, at);
    if (unit !== 10 && unit !== 13 && !(slashes && unit === SLASH)) return at;
  }
  return final ? at : UNDECIDED;
}

/** `\s*[\r\n]+` (where `lines`), then `\s+(?!\S)`, then `\s+` */
function spaceEnd(
  flags: Uint8Array,
  text: string,
  start: number,
  limit: number,
  final: boolean,
  lines: boolean,
): number {
  let afterNewline = start;
  let at = start;
  for (; at < limit; at++) {
    const flag = flags[unitAt(text, at)]!;
    if ((flag & SPACE) === 0) break;
    if ((flag & NEWLINE) !== 0) afterNewline = at + 1;
  }
  if (at >= limit && !final) return UNDECIDED;
  if (lines && afterNewline > start) return afterNewline;
  return at >= limit || at - start === 1 ? at : at - 1;
}

function runEnd(flags: Uint8Array, text: string, from: number, limit: number, wanted: number): number {
  let at = from;
  while (at < limit) {
    const flag = flagsAt(flags, text, at, limit);
    if ((flag & wanted) === 0) break;
    at += widthOf(flag);
  }
  return at;
}

function otherEnd(flags: Uint8Array, text: string, from: number, limit: number): number {
  let at = from;
  while (at < limit) {
    const flag = flagsAt(flags, text, at, limit);
    if ((flag & (LETTER | NUMBER | SPACE)) !== 0) break;
    at += widthOf(flag);
  }
  return at;
}

/** Behind the last caseless letter or mark in a run of capitals and such; `from` where there is none. */
function lastCaselessEnd(flags: Uint8Array, text: string, from: number, end: number): number {
  for (let at = end; at > from; ) {
    const unit = unitAt(text, at - 1);
    const width = unit >= 0xdc00 && unit < 0xe000 ? 2 : 1;
    const flag = flagsAt(flags, text, at - width, end);
    if ((flag & MARK) !== 0 || (flag & LETTER) === LETTER) return at;
    at -= width;
  }
  return from;
}

const BLANK = 0x20;
const APOSTROPHE = 0x27;
const SLASH = 0x2f;
const BLOCK = 0x2581;
const REPLACEMENT = 0xfffd;

/** A letter's flags differ by case; a run of letters takes all. */
function kindOf(kind: number): number {
  return (kind & LETTER) !== 0 ? LETTER : kind;
}

/** The flags of the character at `at`; `HIGH_SURROGATE` is set where it has two units. */
function flagsAt(flags: Uint8Array, text: string, at: number, limit: number): number {
  const flag = flags[unitAt(text, at)]!;
  return flag === HIGH_SURROGATE ? pairFlagsAt(flags, text, at, limit) : flag;
}

function pairFlagsAt(flags: Uint8Array, text: string, at: number, limit: number): number {
  const point = codePointAt(text, at, limit, false);
  return point > 0xffff ? flags[point]! | HIGH_SURROGATE : 0;
}

function widthOf(flag: number): number {
  return (flag & HIGH_SURROGATE) === 0 ? 1 : 2;
}

/** A lone surrogate is read as U+FFFD, which is what it becomes as UTF-8. */
function codePointAt(text: string, at: number, limit: number, spaceIsBlock: boolean): number {
  const unit = unitAt(text, at);
  if (unit === BLANK && spaceIsBlock) return BLOCK;
  if (unit < 0xd800 || unit > 0xdfff) return unit;
  const low = at + 1 < limit && unit < 0xdc00 ? unitAt(text, at + 1) : 0;
  return low >= 0xdc00 && low <= 0xdfff ? 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00) : REPLACEMENT;
}
