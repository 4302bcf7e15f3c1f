import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import MiniSearch, { type SearchResult } from 'minisearch';
import { isIndexed, type Section, sectionsOf, sourceMark } from './sections.js';

/** Full-text search over the sections of a folder of documents. */
export interface Retriever {
  readonly sections: number;
  /** The most relevant sections that fit, most relevant first. */
  search(question: Question): Found;
}

export interface Question {
  readonly query: string;
  /** Also searches what lies below `projects/{projectId}/`, which others do not see. */
  readonly projectId: string | null;
  /** Of about 4 characters. */
  readonly maxTokens: number;
}

export interface Found {
  /** Markdown; each section after a line `<!-- source: ARTIFACT_ID -->`. */
  readonly context: string;
  /** In the order of the context; the score is in 0..1. */
  readonly sources: readonly { readonly artifact_id: string; readonly relevance_score: number }[];
}

/**
 * Reads and indexes the `.md`, `.txt` and source files below `folder`.
 * @throws the error of the file system when the folder cannot be read.
 */
export async function indexDocuments(folder: string): Promise<Retriever> {
  const sections = new Map<string, Section>();
  for (const file of await filesBelow(folder)) {
    const text = await readFile(join(folder, file), 'utf8');
    for (const section of sectionsOf(file, text)) sections.set(section.artifactId, section);
  }
  const index = new MiniSearch<Section>({
    idField: 'artifactId',
    fields: ['heading', 'text', 'file'],
    processTerm: searchTerm,
  });
  index.addAll([...sections.values()]);
  return { sections: sections.size, search: (question) => search(index, sections, question) };
}

const maxFileBytes = 1024 * 1024;

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files: string[] = [];
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    const file = path.slice(join(folder, '/').length).replaceAll('\\', '/');
    const isHidden = file.split('/').some((part) => part.startsWith('.') || part === 'node_modules');
    if (!entry.isFile() || isHidden || !isIndexed(file)) continue;
    if ((await stat(path)).size <= maxFileBytes) files.push(file);
  }
  return files.sort();
}

/** Below this, a hit shares no more than an odd word with the question. */
const leastRelevance = 0.1;

function search(
  index: MiniSearch<Section>,
  sections: ReadonlyMap<string, Section>,
  { query, projectId, maxTokens }: Question,
): Found {
  const terms = new Set(
    query
      .split(/[\s\p{P}]+/u)
      .map(searchTerm)
      .filter((term) => term !== null),
  );
  const hits = index.search(query, {
    boost: { heading: 2 },
    prefix: (term) => term.length > 3,
    fuzzy: (term) => (term.length > 5 ? 0.15 : false),
    filter: ({ id }) => isVisible(sections.get(id)!, projectId),
  });
  const best = hits[0]?.score ?? 1;
  const ranked = hits
    .map((hit) => ({ section: sections.get(hit.id)!, relevance: relevanceOf(hit, best, terms.size) }))
    .filter(({ relevance }) => relevance >= leastRelevance)
    .sort((one, other) => other.relevance - one.relevance || compare(one.section, other.section));
  return fitted(ranked, maxTokens * 4);
}

function isVisible(section: Section, projectId: string | null): boolean {
  const owner = /^projects\/([^/]+)\//.exec(section.file)?.[1];
  return owner === undefined || owner === projectId;
}

/** How much of the question a section covers, and how well in comparison with the best. */
function relevanceOf(hit: SearchResult, best: number, terms: number): number {
  const covered = Math.min(1, hit.queryTerms.length / Math.max(1, terms));
  return Math.round(covered * (0.4 + 0.6 * (hit.score / best)) * 1000) / 1000;
}

function compare(one: Section, other: Section): number {
  return one.artifactId < other.artifactId ? -1 : 1;
}

interface Ranked {
  readonly section: Section;
  readonly relevance: number;
}

/** A section that does not fit is passed over for the next; only the first is cut, at a line. */
function fitted(ranked: readonly Ranked[], maxCharacters: number): Found {
  let context = '';
  const sources: { artifact_id: string; relevance_score: number }[] = [];
  for (const { section, relevance } of ranked) {
    const mark = `${sourceMark(section.artifactId)}\n`;
    const left = maxCharacters - context.length - mark.length - 1;
    const fits = section.text.length <= left;
    const text = fits || context !== '' ? section.text : cutAtLine(section.text, left);
    if ((!fits && context !== '') || text === '') continue;
    context += `${context === '' ? '' : '\n'}${mark}${text}\n`;
    sources.push({ artifact_id: section.artifactId, relevance_score: relevance });
  }
  return { context, sources };
}

function cutAtLine(text: string, characters: number): string {
  return characters <= 0 ? '' : text.slice(0, Math.max(0, text.lastIndexOf('\n', characters)));
}

const stopWords = new Set(
  'a an and are as at be by can for from has have how in is it its of on or that the this to use was what when which will with you your create write make'.split(
    ' ',
  ),
);

function searchTerm(term: string): string | null {
  const lower = term.toLowerCase();
  return lower === '' || stopWords.has(lower) ? null : lower;
}
