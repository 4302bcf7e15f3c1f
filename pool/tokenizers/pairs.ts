/** A merge of byte-pair encoding: two symbols that become one; the lowest rank merges first. */
export interface Merge {
  readonly rank: number;
  readonly left: number;
  readonly right: number;
}

/**
 * Open addressing with linear probing. A slot is two words, `left:18 right:14` and `right:4 rank+1:28`: one
 * cache line holds eight slots, and a miss mostly ends in the line in which it began.
 * @throws {Error} when a symbol or a rank does not fit into its bits.
 */
export function buildPairs(merges: readonly Merge[]): Uint32Array {
  const slots = 2 ** Math.ceil(Math.log2(merges.length * 2));
  const table = new Uint32Array(slots * 2);
  for (const { rank, left, right } of merges) {
    if (left > MAX_SYMBOL || right > MAX_SYMBOL || rank >= NO_MERGE) {
      throw new Error(`merge ${rank} (${left}, ${right}) does not fit into a slot`);
    }
    let slot = hashOf(left, right) & (slots - 1);
    while (table[slot * 2 + 1] !== 0) slot = (slot + 1) & (slots - 1);
    table[slot * 2] = (left << 14) | (right >>> 4);
    table[slot * 2 + 1] = ((right & 15) << 28) | (rank + 1);
  }
  return table;
}

/** The rank at which two symbols merge, or `NO_MERGE`. Hot: `bench/tokens.ts`. */
export function rankOf(pairs: Uint32Array, left: number, right: number): number {
  const mask = (pairs.length >>> 1) - 1;
  const first = ((left << 14) | (right >>> 4)) >>> 0;
  const low = right & 15;
  for (let slot = hashOf(left, right) & mask; ; slot = (slot + 1) & mask) {
    const second = pairs[slot * 2 + 1]!;
    if (second === 0) return NO_MERGE;
    if (pairs[slot * 2] === first && second >>> 28 === low) return (second & NO_MERGE) - 1;
  }
}

/** Greater than every rank. */
export const NO_MERGE = 0xfffffff;
const MAX_SYMBOL = 0x3ffff;

function hashOf(left: number, right: number): number {
  const mixed = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca77);
  return mixed ^ (mixed >>> 15);
}
