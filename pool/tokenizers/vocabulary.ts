/** A vocabulary as one flat file, made for being looked up in place by many threads. */
export interface Vocabulary {
  readonly description: VocabularyDescription;
  /** Flags of each code point; see `characters.ts`. */
  readonly characters: Uint8Array;
  /** The symbol of each byte. */
  readonly byteSymbols: Uint32Array;
  /** The symbol of each code point plus one, 0 for none; empty where merging begins with bytes. */
  readonly characterSymbols: Uint32Array;
  /** Hash table of the pairs that merge; see `pairs.ts`. */
  readonly pairs: Uint32Array;
  /** The symbol that the merge of a rank makes. */
  readonly mergedSymbols: Uint32Array;
  /** The pairs of characters that a merge may join; see `joins.ts`. Empty where a pre-tokenizer splits. */
  readonly joins: Uint32Array;
  /** The longest token around two neighbours; see `reaches.ts`. */
  readonly reaches: Uint16Array;
  /** The tokens that are searched for in the raw text; see `added-tokens.ts`. */
  readonly addedTokens: Uint32Array;
}

export interface VocabularyDescription {
  /** What the file was made from; another key means that the file is stale. */
  readonly key: string;
  readonly preTokenizer: 'o200k' | 'qwen' | 'gpt2' | 'none';
  readonly normalizer: 'NFC' | 'NFKC' | 'none';
  /** Whether a space is read as U+2581, as SentencePiece writes it. */
  readonly spaceIsBlock: boolean;
}

/** A change of the layout, or of what the tables mean, takes a new version. */
export const FORMAT_VERSION = 2;

/** Lays the tables one after the other: header, description (JSON), tables, each at a multiple of 8 bytes. */
export function writeVocabulary(vocabulary: Vocabulary): Uint8Array {
  const description = new TextEncoder().encode(JSON.stringify(vocabulary.description));
  const sections = [description, ...TABLES.map((table) => vocabulary[table])];
  let size = HEADER_BYTES;
  const header = [MAGIC, FORMAT_VERSION];
  for (const { byteLength } of sections) {
    header.push(size, byteLength);
    size += Math.ceil(byteLength / 8) * 8;
  }
  const file = new Uint8Array(size);
  new Uint32Array(file.buffer).set(header);
  sections.forEach((section, index) => {
    file.set(new Uint8Array(section.buffer, section.byteOffset, section.byteLength), header[2 + 2 * index]!);
  });
  return file;
}

/**
 * Views on the tables of a file in memory; copies nothing but the description.
 * @throws {Error} when it is not a vocabulary of this format version.
 */
export function readVocabulary(buffer: ArrayBufferLike): Vocabulary {
  const description = readDescription(buffer);
  const words = (table: number) => {
    const [offset, byteLength] = sectionOf(buffer, table);
    return new Uint32Array(buffer, offset, byteLength / 4);
  };
  const [reachesAt, reachesBytes] = sectionOf(buffer, 8);
  return {
    description,
    characters: new Uint8Array(buffer, ...sectionOf(buffer, 1)),
    byteSymbols: words(2),
    characterSymbols: words(3),
    pairs: words(4),
    mergedSymbols: words(5),
    joins: words(6),
    addedTokens: words(7),
    reaches: new Uint16Array(buffer, reachesAt, reachesBytes / 2),
  };
}

/** @throws {Error} when it is not the beginning of a vocabulary of this format version. */
export function readDescription(buffer: ArrayBufferLike): VocabularyDescription {
  if (!isVocabulary(buffer)) throw new Error(`this is not a vocabulary of format ${FORMAT_VERSION}`);
  const [offset, byteLength] = sectionOf(buffer, 0);
  // A TextDecoder does not take shared memory.
  const copy = new Uint8Array(buffer, offset, byteLength).slice();
  return JSON.parse(new TextDecoder().decode(copy)) as VocabularyDescription;
}

export function isVocabulary(buffer: ArrayBufferLike): boolean {
  const header = new Uint32Array(buffer, 0, Math.min(2, buffer.byteLength >>> 2));
  return header[0] === MAGIC && header[1] === FORMAT_VERSION;
}

/** Enough of a file's beginning for `readDescription`. */
export const DESCRIPTION_BYTES = 1024;

const TABLES = [
  'characters',
  'byteSymbols',
  'characterSymbols',
  'pairs',
  'mergedSymbols',
  'joins',
  'addedTokens',
  'reaches',
] as const satisfies ReadonlyArray<keyof Vocabulary>;

const MAGIC = 0x4b4f5456;
const HEADER_BYTES = 8 + 8 * (1 + TABLES.length);

function sectionOf(buffer: ArrayBufferLike, index: number): [offset: number, byteLength: number] {
  const entry = new Uint32Array(buffer, 8 + 8 * index, 2);
  return [entry[0]!, entry[1]!];
}
