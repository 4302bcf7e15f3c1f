import { readFileSync } from 'node:fs';
import type { CpuProfile } from './flame-graph.js';

/** The same profile, in which functions of a bundle lie in the files of which it was made, relative to the package. */
export function unbundled(profile: CpuProfile): CpuProfile {
  const bundles = new Map<string, readonly string[]>();
  const filesOf = (url: string) => {
    const known = bundles.get(url) ?? filesByLine(url);
    bundles.set(url, known);
    return known;
  };
  const nodes = profile.nodes.map((node) => {
    const { url, lineNumber } = node.callFrame;
    const file = lineNumber === undefined ? undefined : filesOf(url)[lineNumber];
    return file === undefined ? node : { ...node, callFrame: { ...node.callFrame, url: file } };
  });
  return { ...profile, nodes };
}

/** esbuild writes the name of each file ahead of its code. Its source map leads to our own files only. */
function filesByLine(url: string): readonly string[] {
  if (!url.startsWith('file:') || url.includes('/node_modules/')) return [];
  let file: string | undefined;
  return readFileSync(new URL(url), 'utf8')
    .split('\n')
    .map((line) => {
      file = /^\/\/ (?:.*?(node_modules\/\S+)|(\S+\.js))$/.exec(line)?.slice(1).find(Boolean) ?? file;
      return file!;
    });
}
