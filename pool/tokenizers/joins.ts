/**
 * The pairs of adjacent characters over which some merge joins two symbols. Where two neighbours are no such
 * pair, no merge can cross: byte-pair encoding of the text is that of the two sides, one after the other.
 * A set of bits by hash: a wrong yes only makes a longer piece, a wrong no cannot be.
 */
export function buildJoins(pairs: Iterable<readonly [left: number, right: number]>): Uint32Array {
  const joins = new Uint32Array(BITS / 32);
  for (const [left, right] of pairs) {
    const bit = bitOf(left, right);
    joins[bit >>> 5]! |= 1 << (bit & 31);
  }
  return joins;
}

/** Whether a merge may join the two code points. Hot: `bench/tokens.ts`. */
export function mayJoin(joins: Uint32Array, left: number, right: number): boolean {
  const bit = bitOf(left, right);
  return ((joins[bit >>> 5]! >>> (bit & 31)) & 1) !== 0;
}

const BITS = 2 ** 20;

function bitOf(left: number, right: number): number {
  return (Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0xc2b2ae3d)) >>> 12;
}
