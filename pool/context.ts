import type { ContextSource } from '../contracts/outcome.js';
import type { FittedContext } from '../contracts/threads.js';
import type { Tokenizer } from './tokenizers/index.js';

/** Context as it was retrieved. */
export interface RetrievedText {
  readonly text: string;
  readonly sources: readonly ContextSource[];
}

/**
 * Fits context into a budget of tokens, most relevant first. What the caller provided comes before what was
 * retrieved. A section that does not fit as a whole is cut at a line, if a useful part of it fits. Nothing is cut where
 * all of it has at most `wholeTokens`.
 */
export function fitContext(
  provided: string | undefined,
  retrieved: RetrievedText | undefined,
  budgetTokens: number,
  wholeTokens: number,
  tokenizer: Tokenizer,
): FittedContext & { readonly text: string } {
  const sections = sectionsOf(provided, retrieved);
  const whole = wholeContext(sections, wholeTokens, tokenizer);
  if (whole !== undefined) return whole;
  const used: ContextSource[] = [];
  const dropped: ContextSource[] = [];
  const parts: string[] = [];
  let left = budgetTokens;
  let onlyTokens = 0;
  let isCut = false;
  for (const section of sections) {
    const part = left > 0 ? fitSection(section.text, left, tokenizer) : undefined;
    if (section.isProvided && part?.text !== section.text) isCut = true;
    if (part === undefined) {
      dropped.push(...section.sources);
      continue;
    }
    parts.push(part.text);
    onlyTokens = part.tokens;
    left -= part.tokens + SEPARATOR_TOKENS;
    used.push(...sourcesOf(section, part.tokens));
  }
  const text = parts.join('\n\n');
  const tokens = parts.length === 1 ? onlyTokens : tokenizer.count(text);
  return { text, tokens, used, dropped, ...(isCut && { isCut }) };
}

/** All sections as they are, where together they have at most so many tokens: to add up bounds of each asks for more. */
function wholeContext(
  sections: readonly Section[],
  mostTokens: number,
  tokenizer: Tokenizer,
): (FittedContext & { readonly text: string }) | undefined {
  const text = sections.map((section) => section.text).join('\n\n');
  const tokens = tokenizer.countUpTo(text, mostTokens);
  if (tokens === undefined) return undefined;
  const used = sections.flatMap((section) =>
    sourcesOf(section, sections.length === 1 ? tokens : tokenizer.count(section.text)),
  );
  return { text, tokens, used, dropped: [] };
}

/** The sources of a section; where it has one, with its tokens. */
function sourcesOf({ sources }: Section, tokens: number): readonly ContextSource[] {
  return sources.length === 1 ? [{ ...sources[0]!, tokens }] : sources;
}

interface Section {
  readonly text: string;
  /** By the caller. */
  readonly isProvided?: boolean;
  readonly sources: readonly ContextSource[];
}

function sectionsOf(provided: string | undefined, retrieved: RetrievedText | undefined): Section[] {
  const sections: Section[] = [];
  if (provided !== undefined && provided.trim() !== '')
    sections.push({ text: provided, isProvided: true, sources: [] });
  if (retrieved !== undefined) sections.push(...retrievedSections(retrieved));
  return sections;
}

/**
 * The RAG service returns one text and a list of sources. Where the text marks its sources
 * (`<!-- source: ID -->`), or has as many top-level parts as there are sources, each part goes with its
 * source; otherwise the text is one section with all of them.
 */
function retrievedSections({ text, sources }: RetrievedText): Section[] {
  if (text.trim() === '') return [];
  const byId = new Map(sources.map((source) => [source.artifact_id, source]));
  const marked = text.split(/^<!-- source: (\S{1,256}) -->[ \t]*$/m, 1 + 2 * MAX_SECTIONS);
  if (marked.length > 1) {
    const sections = marked[0]!.trim() === '' ? [] : [{ text: marked[0]!.trim(), sources: [] }];
    for (let i = 1; i < marked.length; i += 2) {
      const id = marked[i]!;
      const body = marked[i + 1]!.trim();
      if (body !== '') sections.push({ text: body, sources: [byId.get(id) ?? { artifact_id: id }] as never });
    }
    return byRelevance(sections);
  }
  const parts = text.split(/\n(?=# |---\n)/).filter((part) => part.trim() !== '');
  if (parts.length === sources.length) {
    return byRelevance(parts.map((part, i) => ({ text: part.trim(), sources: [sources[i]!] })));
  }
  return [{ text, sources }];
}

// Each of them stands in the outcome and in the receipt.
const MAX_SECTIONS = 256;

function byRelevance(sections: Section[]): Section[] {
  const score = (section: Section) => section.sources[0]?.relevance_score ?? 1;
  return sections.sort((a, b) => score(b) - score(a));
}

function fitSection(
  text: string,
  budget: number,
  tokenizer: Tokenizer,
): { text: string; tokens: number } | undefined {
  const tokens = tokenizer.countUpTo(text, budget);
  if (tokens !== undefined) return { text, tokens };
  if (budget < SMALLEST_PART_TOKENS) return undefined;
  const prefix = tokenizer.truncate(text, budget);
  const line = prefix.lastIndexOf('\n');
  const cut = line > prefix.length / 2 ? prefix.slice(0, line) : prefix;
  return cut.trim() === '' ? undefined : { text: cut, tokens: tokenizer.count(cut) };
}

// Joining two texts may cost a token more than they have apart, and the blank line between them one or two.
const SEPARATOR_TOKENS = 4;
// Less of a section than this is noise to the model.
const SMALLEST_PART_TOKENS = 32;
