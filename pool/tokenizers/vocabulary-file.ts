import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { builtFile } from '../../config/package-root.js';
import type { TokenizerName } from '../../contracts/threads.js';
import {
  DESCRIPTION_BYTES,
  isVocabulary,
  readDescription,
  type VocabularyDescription,
} from './vocabulary.js';

/** Where the compile step writes: `dist/vocabularies`. */
export const VOCABULARY_DIRECTORY = fileURLToPath(builtFile('vocabularies'));

/**
 * Reads a compiled vocabulary into memory that all threads share; about 20 ms.
 * @throws {Error} when the compile step has not been run, or was run for another format.
 */
export function loadVocabulary(
  name: TokenizerName,
  directory: string = VOCABULARY_DIRECTORY,
): SharedArrayBuffer {
  const path = vocabularyFile(name, directory);
  if (readFileDescription(path) === undefined) {
    throw new Error(`${path} is missing or stale: run \`node dist/pool/tokenizers/compile.js\``);
  }
  return readInto((size) => new SharedArrayBuffer(size), path, Number.POSITIVE_INFINITY);
}

export function vocabularyFile(name: TokenizerName, directory: string): string {
  return join(directory, `${name}.bin`);
}

/** Nothing when there is no such file, or when it is of another format. */
export function readFileDescription(path: string): VocabularyDescription | undefined {
  if (!existsSync(path)) return undefined;
  const beginning = readInto((size) => new ArrayBuffer(size), path, DESCRIPTION_BYTES);
  return isVocabulary(beginning) ? readDescription(beginning) : undefined;
}

function readInto<B extends ArrayBufferLike>(allocate: (size: number) => B, path: string, limit: number): B {
  const file = openSync(path, 'r');
  try {
    const buffer = allocate(Math.min(limit, fstatSync(file).size));
    const bytes = new Uint8Array(buffer);
    for (let at = 0; at < bytes.length; ) {
      const read = readSync(file, bytes, at, bytes.length - at, at);
      if (read === 0) throw new Error(`${path} became shorter while it was read`);
      at += read;
    }
    return buffer;
  } finally {
    closeSync(file);
  }
}
