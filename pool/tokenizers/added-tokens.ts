import { unitAt } from './units.js';

/** A token that is searched for in the raw text, before normalizer and pre-tokenizer. */
export interface AddedToken {
  readonly content: string;
  readonly id: number;
}

/**
 * A trie of UTF-16 units: `[slots, nodes]`, 2048 words with one bit for each unit that begins a token, the
 * token of each node plus one, then `[node:16 unit:16, child]` by open addressing. Node 0 is the root, and no
 * edge leads to it.
 * @throws {Error} when the trie has more nodes than a slot can name.
 */
export function buildAddedTokens(tokens: readonly AddedToken[]): Uint32Array {
  const edges = new Map<number, number>();
  const ids = [0];
  for (const { content, id } of tokens) {
    let node = 0;
    for (let at = 0; at < content.length; at++) {
      const edge = edgeOf(node, content.charCodeAt(at));
      let child = edges.get(edge);
      if (child === undefined) {
        child = ids.push(0) - 1;
        edges.set(edge, child);
      }
      node = child;
    }
    ids[node] = id + 1;
  }
  if (ids.length > 0x10000) throw new Error(`${ids.length} nodes are too many for the added tokens`);
  return layOut(edges, ids);
}

/** Finds added tokens as the reference does: the leftmost, and of those that begin there the longest. */
export class AddedTokenFinder {
  /** Where the token that was found begins, or where the search could not go on. */
  start = 0;
  end = 0;
  id = 0;

  readonly #beginnings: Uint32Array;
  readonly #ids: Uint32Array;
  readonly #edges: Uint32Array;
  readonly #mask: number;
  readonly #empty: boolean;

  constructor(table: Uint32Array) {
    const [slots, nodes] = [table[0]!, table[1]!];
    this.#beginnings = table.subarray(HEADER, HEADER + BEGINNINGS);
    this.#ids = table.subarray(HEADER + BEGINNINGS, HEADER + BEGINNINGS + nodes);
    this.#edges = table.subarray(HEADER + BEGINNINGS + nodes);
    this.#mask = slots - 1;
    this.#empty = nodes === 1;
  }

  /**
   * The next token in `text` from `from` on. False when there is none before `start`: the limit, or the place
   * at which text beyond the limit decides, unless the text is complete (`final`).
   */
  find(text: string, from: number, limit: number, final: boolean): boolean {
    this.start = limit;
    if (this.#empty) return false;
    for (let start = from; start < limit; start++) {
      const unit = unitAt(text, start);
      if (((this.#beginnings[unit >>> 5]! >>> (unit & 31)) & 1) === 0) continue;
      this.id = -1;
      let node = 0;
      let at = start;
      for (; at < limit; at++) {
        node = this.#childOf(node, unitAt(text, at));
        if (node === 0) break;
        if (this.#ids[node] !== 0) {
          this.id = this.#ids[node]! - 1;
          this.end = at + 1;
        }
      }
      if (at === limit && !final) {
        this.start = start;
        return false;
      }
      if (this.id >= 0) {
        this.start = start;
        return true;
      }
    }
    return false;
  }

  #childOf(node: number, unit: number): number {
    const edge = edgeOf(node, unit);
    for (let slot = hashOf(edge) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const child = this.#edges[slot * 2 + 1]!;
      if (child === 0 || this.#edges[slot * 2] === edge) return child;
    }
  }
}

const HEADER = 2;
const BEGINNINGS = 0x10000 / 32;

function layOut(edges: ReadonlyMap<number, number>, ids: readonly number[]): Uint32Array {
  const slots = 2 ** Math.ceil(Math.log2(edges.size * 2 + 1));
  const table = new Uint32Array(HEADER + BEGINNINGS + ids.length + slots * 2);
  table.set([slots, ids.length]);
  table.set(ids, HEADER + BEGINNINGS);
  const slotted = table.subarray(HEADER + BEGINNINGS + ids.length);
  for (const [edge, child] of edges) {
    const unit = edge & 0xffff;
    if (edge >>> 16 === 0) table[HEADER + (unit >>> 5)]! |= 1 << (unit & 31);
    let slot = hashOf(edge) & (slots - 1);
    while (slotted[slot * 2 + 1] !== 0) slot = (slot + 1) & (slots - 1);
    slotted[slot * 2] = edge;
    slotted[slot * 2 + 1] = child;
  }
  return table;
}

function edgeOf(node: number, unit: number): number {
  return ((node << 16) | unit) >>> 0;
}

function hashOf(edge: number): number {
  const mixed = Math.imul(edge, 0x9e3779b1);
  return mixed ^ (mixed >>> 16);
}
