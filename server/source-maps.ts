import { readFileSync, writeFileSync } from 'node:fs';
import { decode, encode, type SourceMapSegment } from '@jridgewell/sourcemap-codec';

/**
 * Leaves in the source map (ECMA-426) of a bundle what leads to the lines of our own files. Node reads the whole map when
 * the first stack is asked for, on the event loop, and keeps it: six parts of seven were places within packages.
 */
export function keepOwnLines(file: string): void {
  const map = JSON.parse(readFileSync(file, 'utf8'));
  const isOwn = (map.sources as string[]).map(
    (source) => source.endsWith('.ts') && !source.includes('node_modules/'),
  );
  writeFileSync(file, JSON.stringify({ ...map, mappings: encode(ownLines(decode(map.mappings), isOwn)) }));
}

function ownLines(lines: readonly SourceMapSegment[][], isOwn: readonly boolean[]): SourceMapSegment[][] {
  let before: SourceMapSegment = [0];
  return lines.map((line) => {
    const kept: SourceMapSegment[] = [];
    for (const segment of line) {
      // One without a source ends the file before: else what follows would count as its last line.
      const next: SourceMapSegment = segment.length > 1 && isOwn[segment[1]!] ? segment : [segment[0]];
      const isNewLine = kept.length === 0 && next.length > 1;
      if (isNewLine || next[1] !== before[1] || next[2] !== before[2]) kept.push(next);
      before = next;
    }
    return kept;
  });
}
