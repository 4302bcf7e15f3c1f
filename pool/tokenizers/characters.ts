/**
 * What the pre-tokenizers and normalizers ask of a character: one byte of flags for each code point. A lone
 * low surrogate and a high surrogate are looked up by their code unit.
 */
export const UPPER = 1;
export const LOWER = 2;
/** Letters without case (`\p{Lm}`, `\p{Lo}`) are both `UPPER` and `LOWER`. */
export const LETTER = UPPER | LOWER;
export const MARK = 4;
export const NUMBER = 8;
/** `\p{White_Space}`, which is not JavaScript's `\s`: that one has U+FEFF and lacks U+0085. */
export const SPACE = 16;
export const NEWLINE = 32;
/** May combine with, or move before, what stands in front of it under NFC or NFKC. */
export const JOINS_BACKWARD = 64;
/** A high surrogate: the flags that count are those of the whole code point. */
export const HIGH_SURROGATE = 128;

export const CODE_POINTS = 0x110000;

/** Builds the table by this Node's Unicode version; takes about half a second. */
export function characterFlags(): Uint8Array {
  const flags = new Uint8Array(CODE_POINTS);
  for (const [flag, pattern] of PATTERNS) {
    for (let point = 0; point < CODE_POINTS; point++) {
      if (pattern.test(String.fromCodePoint(point))) flags[point]! |= flag;
    }
  }
  markComposing(flags);
  for (let unit = 0xd800; unit < 0xdc00; unit++) flags[unit] = HIGH_SURROGATE;
  // Nothing may be cut between the halves of a pair.
  for (let unit = 0xdc00; unit < 0xe000; unit++) flags[unit]! |= JOINS_BACKWARD;
  return flags;
}

const PATTERNS: ReadonlyArray<readonly [number, RegExp]> = [
  [UPPER, /[\p{Lu}\p{Lt}\p{Lm}\p{Lo}]/u],
  [LOWER, /[\p{Ll}\p{Lm}\p{Lo}]/u],
  [MARK | JOINS_BACKWARD, /\p{M}/u],
  [NUMBER, /\p{N}/u],
  [SPACE, /\p{White_Space}/u],
  [NEWLINE, /[\r\n]/u],
];

/** Every reordering character is a mark; what composes backwards without being one is found by decomposing. */
function markComposing(flags: Uint8Array): void {
  for (let point = 0x80; point < CODE_POINTS; point++) {
    const [, ...rest] = String.fromCodePoint(point).normalize('NFD');
    for (const second of rest) flags[second.codePointAt(0)!]! |= JOINS_BACKWARD;
  }
  // A compatibility decomposition may begin with such a character: the halfwidth voiced sound mark does.
  for (let point = 0x80; point < CODE_POINTS; point++) {
    const first = String.fromCodePoint(point).normalize('NFKD').codePointAt(0)!;
    if ((flags[first]! & JOINS_BACKWARD) !== 0) flags[point]! |= JOINS_BACKWARD;
  }
}
