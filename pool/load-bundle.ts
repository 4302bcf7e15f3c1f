import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Script } from 'node:vm';

/** A CommonJS bundle that was loaded, and its script. */
export interface LoadedBundle {
  readonly exports: unknown;
  readonly script: Script;
}

/** Where the code that V8 compiled for a bundle is kept. */
export function cacheOf(file: string): string {
  return `${file}.cache`;
}

/**
 * Loads a CommonJS bundle that the build has put into a function of what `require()` gives to a module, with the code that V8 compiled for it at the build: a thread starts in two thirds
 * of the time (decision 0018). Another V8 than that of the build compiles it anew.
 * @throws {Error} when the file cannot be read, and what the bundle throws.
 */
export function loadBundle(file: string): LoadedBundle {
  const cachedData = compiled(file);
  const script = new Script(readFileSync(file, 'utf8'), {
    filename: file,
    ...(cachedData !== undefined && { cachedData }),
  });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, createRequire(file), module);
  return { exports: module.exports, script };
}

function compiled(file: string): Buffer | undefined {
  try {
    return readFileSync(cacheOf(file));
  } catch {
    // A build that is interrupted leaves none, rather than one of the bundle before.
    return undefined;
  }
}
