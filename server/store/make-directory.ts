import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a directory for its owner alone, and what is missing above it; one that is there keeps its mode. Node's own
 * `recursive` tries for ever where a file system refuses with ENOENT, as /proc does (Node 20).
 * @param path absolute.
 * @throws what `mkdir` says, and when something else is there.
 */
export function makeDirectory(path: string): void {
  const there = statSync(path, { throwIfNoEntry: false });
  if (there?.isDirectory()) return;
  if (there !== undefined) throw new Error(`${path} is not a directory`);
  makeDirectory(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Another process of the node was faster.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
