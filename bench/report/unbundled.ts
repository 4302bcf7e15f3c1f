import { existsSync, readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import type { CpuProfile } from './flame-graph.js';

/** The same profile, in which functions of a bundle lie in the files of which it was made, relative to the package. */
export function unbundled(profile: CpuProfile): CpuProfile {
  const maps = new Map<string, SourceMap | undefined>();
  const mapOf = (url: string) => {
    if (!maps.has(url)) maps.set(url, readMap(url));
    return maps.get(url);
  };
  const nodes = profile.nodes.map((node) => {
    const { url, lineNumber, columnNumber } = node.callFrame;
    if (lineNumber === undefined || columnNumber === undefined) return node;
    const entry = mapOf(url)?.findEntry(lineNumber, columnNumber);
    if (entry === undefined || !('originalSource' in entry)) return node;
    return {
      ...node,
      callFrame: { ...node.callFrame, url: entry.originalSource.replace(/^(?:\.\.\/)+/, '') },
    };
  });
  return { ...profile, nodes };
}

/** That of a module that is no bundle says the same; that of a package would hide whose it is. */
function readMap(url: string): SourceMap | undefined {
  if (!url.startsWith('file:') || url.includes('/node_modules/')) return undefined;
  const file = new URL(`${url}.map`);
  return existsSync(file) ? new SourceMap(JSON.parse(readFileSync(file, 'utf8'))) : undefined;
}
