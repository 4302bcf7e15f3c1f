import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TokenizerName } from '../../contracts/threads.js';
import { buildAddedTokens } from './added-tokens.js';
import { CODE_POINTS, characterFlags } from './characters.js';
import { buildJoins } from './joins.js';
import { buildPairs, type Merge } from './pairs.js';
import { buildReaches } from './reaches.js';
import { SOURCES, type SourceVocabulary } from './sources.js';
import { FORMAT_VERSION, type VocabularyDescription, writeVocabulary } from './vocabulary.js';
import { readFileDescription, VOCABULARY_DIRECTORY, vocabularyFile } from './vocabulary-file.js';

export interface CompiledFile {
  readonly name: TokenizerName;
  readonly path: string;
  /** 0 when the file was already current. */
  readonly bytes: number;
}

/**
 * Compiles each vocabulary into one flat file, unless the file is already of this package, this format and
 * this Node's Unicode version. Takes several seconds; a run at the same time does no harm.
 * @throws {Error} when a package's vocabulary asks for what the engine does not do.
 */
export async function compileVocabularies(
  directory: string = VOCABULARY_DIRECTORY,
  names: readonly TokenizerName[] = Object.keys(SOURCES) as TokenizerName[],
): Promise<CompiledFile[]> {
  mkdirSync(directory, { recursive: true });
  let flags: Uint8Array | undefined;
  const files: CompiledFile[] = [];
  for (const name of names) {
    const source = SOURCES[name];
    const path = vocabularyFile(name, directory);
    const key = `${source.version} format ${FORMAT_VERSION} Unicode ${process.versions.unicode}`;
    if (readFileDescription(path)?.key === key) {
      files.push({ name, path, bytes: 0 });
      continue;
    }
    flags ??= characterFlags();
    const file = compile(await source.read(), key, flags);
    const unfinished = join(directory, `.${name}.${process.pid}`);
    writeFileSync(unfinished, file);
    renameSync(unfinished, path);
    files.push({ name, path, bytes: file.length });
  }
  return files;
}

function compile(source: SourceVocabulary, key: string, characters: Uint8Array): Uint8Array {
  const { preTokenizer, normalizer, spaceIsBlock, tokens, byteLevel } = source;
  const description: VocabularyDescription = { key, preTokenizer, normalizer, spaceIsBlock };
  const merges: Merge[] = [];
  const mergedSymbols: number[] = [];
  const joined = new Map<string, readonly [number, number]>();
  for (const [rank, left, right] of source.merges) {
    merges.push({ rank, left: idOf(left, tokens), right: idOf(right, tokens) });
    mergedSymbols[rank] = idOf(left + right, tokens);
    if (!byteLevel) {
      const [last, first] = [[...left].at(-1)!, [...right][0]!];
      joined.set(last + first, [last.codePointAt(0)!, first.codePointAt(0)!]);
    }
  }
  return writeVocabulary({
    description,
    characters,
    byteSymbols: Uint32Array.from({ length: 256 }, (_, byte) => idOf(byteToken(byte, byteLevel), tokens)),
    characterSymbols: byteLevel ? new Uint32Array() : characterSymbols(tokens),
    pairs: buildPairs(merges),
    mergedSymbols: Uint32Array.from(mergedSymbols, (symbol) => symbol ?? 0),
    joins: byteLevel ? new Uint32Array() : buildJoins(joined.values()),
    addedTokens: buildAddedTokens(source.addedTokens),
    reaches: buildReaches(pointsOf(tokens.keys()), byteLevel),
  });
}

/** What each token is made of: bytes, which stand there as characters below U+0100, or characters. */
function* pointsOf(tokens: Iterable<string>): Iterable<number[]> {
  for (const token of tokens) yield Array.from(token, (character) => character.codePointAt(0)!);
}

function characterSymbols(tokens: ReadonlyMap<string, number>): Uint32Array {
  const symbols = new Uint32Array(CODE_POINTS);
  for (const [token, id] of tokens) {
    const point = token.codePointAt(0) ?? 0;
    if (token.length === (point > 0xffff ? 2 : 1)) symbols[point] = id + 1;
  }
  return symbols;
}

function byteToken(byte: number, byteLevel: boolean): string {
  return byteLevel ? String.fromCharCode(byte) : `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
}

function idOf(token: string, tokens: ReadonlyMap<string, number>): number {
  const id = tokens.get(token);
  if (id === undefined) throw new Error(`the vocabulary lacks the token ${JSON.stringify(token)}`);
  return id;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const startedAt = performance.now();
  for (const { path, bytes } of await compileVocabularies(process.argv[2])) {
    console.log(bytes === 0 ? `${path} is current` : `${path}: ${(bytes / 2 ** 20).toFixed(1)} MiB`);
  }
  console.log(`${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
}
