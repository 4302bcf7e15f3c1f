import type { DomainFinding, DomainOutput } from './domain.js';

/** One text of an output that rules look at, and where it stands. */
export interface Source {
  /** JSON pointer of the field that holds it. */
  readonly path: string;
  /** Lines of that field above the text. */
  readonly linesAbove: number;
  /** In lower letters; undefined when nothing says it. */
  readonly language: string | undefined;
  readonly text: string;
}

/**
 * The texts of an output, each once: the artifacts where they carry all of it, else the content, which is
 * taken apart at its fences.
 */
export function sourcesOf(output: DomainOutput): Source[] {
  const artifacts = output.artifacts ?? [];
  if (artifacts.length > 0 && artifacts.every(({ content }) => content !== undefined)) {
    return artifacts.map(({ language, content }, index) => ({
      path: `/artifacts/${index}/content`,
      linesAbove: 0,
      language: language.toLowerCase(),
      text: content ?? '',
    }));
  }
  const fenced = fencedIn(output.content);
  if (fenced.length > 0) return fenced;
  const language = artifacts.length === 1 ? artifacts[0]?.language.toLowerCase() : undefined;
  return [{ path: '/content', linesAbove: 0, language, text: output.content }];
}

/** A note on the line where it was found first, with the number of further places. */
export function noteAt(source: Source, places: readonly number[], message: string): DomainFinding[] {
  const [first] = places;
  if (first === undefined) return [];
  const line = source.linesAbove + newlines(source.text, first) + 1;
  const more = places.length > 1 ? ` (and ${places.length - 1} more)` : '';
  return [{ severity: 'note', path: source.path, message: `line ${line}${more}: ${message}` }];
}

/** Where a pattern (with the flag g) matches. */
export function placesOf(pattern: RegExp, text: string): number[] {
  // Most texts have none of it, and matchAll copies the expression.
  if (text.search(pattern) < 0) return [];
  return Array.from(text.matchAll(pattern), (match) => match.index);
}

const maxFences = 256;

function fencedIn(content: string): Source[] {
  const marker = /^ {0,3}(`{3,}(?!`)|~{3,}(?!~))([^\n`]*)$/gm;
  const sources: Source[] = [];
  let line = 0;
  let counted = 0;
  for (let open = marker.exec(content); open !== null; open = marker.exec(content)) {
    const from = open.index + open[0].length + 1;
    const close = closingOf(content, from, open[1]!);
    line += newlines(content, counted, from);
    counted = from;
    const [tag = ''] = open[2]!.trim().split(/\s/, 1);
    sources.push({
      path: '/content',
      linesAbove: line,
      language: tag === '' || tag.includes('=') ? undefined : tag.toLowerCase(),
      text: content.slice(from, close.start),
    });
    if (sources.length === maxFences) break;
    marker.lastIndex = close.end;
  }
  return sources;
}

function closingOf(content: string, from: number, opened: string): { start: number; end: number } {
  const marker = new RegExp(`^ {0,3}${opened[0]}{${opened.length},}[ \\t]*$`, 'gm');
  marker.lastIndex = from;
  const found = marker.exec(content);
  return found === null
    ? { start: content.length, end: content.length }
    : { start: found.index, end: found.index + found[0].length };
}

function newlines(text: string, from: number, to = -1): number {
  const [start, end] = to < 0 ? [0, from] : [from, to];
  let count = 0;
  for (let at = text.indexOf('\n', start); at >= 0 && at < end; at = text.indexOf('\n', at + 1)) count++;
  return count;
}
