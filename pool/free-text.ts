import type { Note, OutputArtifact } from '../contracts/outcome.js';

export interface FreeText {
  readonly content: string;
  readonly artifacts: OutputArtifact[];
  readonly notes: Note[];
}

/**
 * Finds the result in an answer that is not the JSON object that was asked for. Code: what stands in fences,
 * without the chatter around them; a fence whose info string names a path (` ```python src/a.py `) is a file.
 * Prose: the Markdown as it is, taken out of a fence around the whole.
 */
export function readFreeText(text: string, kind: 'code' | 'prose', defaultLanguage: string): FreeText {
  const fences = findFences(text);
  if (kind === 'prose') return readProse(text, fences);
  if (fences.length === 0 || isInDocstring(text, fences[0]!)) return withoutChatter(text);
  const artifacts = fences.flatMap((fence) => artifactOf(fence, defaultLanguage));
  const from = fences[0]!.start;
  const to = fences[fences.length - 1]!.end;
  const isWhole = text.slice(0, from).trim() === '' && text.slice(to).trim() === '';
  const notes = isWhole ? [] : [chatterRemoved('text around the fenced code was left out')];
  return { content: fences.length === 1 ? fences[0]!.body : text.slice(from, to), artifacts, notes };
}

/**
 * Whether an answer is a model's refusal in its own words, as many models have been taught them, and nothing else. In
 * prose, which may quote one or speak in somebody's name, only what cannot be a text that was asked for.
 */
export function isRefusal(text: string, kind: 'code' | 'prose'): boolean {
  const said = text.trim().replace(/^(?:\*\*|["'_*])+|(?:\*\*|["'_*])+$/g, '');
  if (said.length > REFUSAL_CHARACTERS || findFences(said).length > 0) return false;
  if (HELPLESS.test(said)) return true;
  return (
    kind === 'code' &&
    !CODE_LINE.test(said) &&
    [SORRY, UNWILLING, DECLINING, AT_LAST].some((words) => words.test(said))
  );
}

const REFUSAL_CHARACTERS = 1000;
const CANNOT = "i(?: can(?:no|['’])t| can not| won['’]t| will not|(?:['’]m| am) (?:unable|not able) to)";
const APOLOGY = "(?:i(?:['’]m| am)(?: very| so)? sorry|sorry|i apologi[sz]e|my apologies|unfortunately)";
const MODEL = '(?:as an ai(?: language)?(?: model| assistant)?, )?';
const HELP =
  '(?:help(?! but)|assist|comply|fulfill? (?:this|that|your|the) request|provide (?:information|guidance|assistance|instructions|help|support))\\b';
const HELPLESS = new RegExp(`^(?:${APOLOGY}[,.]? (?:but )?)?${MODEL}${CANNOT} ${HELP}`, 'i');
const SORRY = new RegExp(`^${APOLOGY}[,.]? (?:but )?${MODEL}${CANNOT} \\w`, 'i');
const UNWILLING = new RegExp(
  `^${MODEL}${CANNOT} (?:do|create|write|provide|generate|produce|complete|fulfill?|develop|build|make)\\b`,
  'i',
);
const DECLINING =
  /^i(?:(?:['’]m| am) (?:not going to|going to have to decline)|(?: must| need to| have to| will have to| am going to)(?: respectfully| politely)? decline)\b/i;
/** Behind a sentence that explains it. */
const AT_LAST = new RegExp(`[.!]\\s+(?:(?:therefore|however|so|thus|but|as such),? )?${CANNOT} ${HELP}`, 'i');
/** A refusal is prose. */
const CODE_LINE =
  /[{};]\s*$|^\s*(?:def|class|import|from|return|function|const|let|var|public|private|static)\b|^\s*#\s*include\b|^\s*(?:\/\/|#|--)/m;

interface Fence {
  /** Where the opening line begins and the closing line ends, in characters. */
  readonly start: number;
  readonly end: number;
  readonly info: string;
  readonly body: string;
}

/**
 * Fenced code blocks as in CommonMark 4.5; one that is never closed runs to the end. Linear in the text. But models put
 * Markdown with fences of its own into a fence that is no longer than these: where that comes out even, it is meant so.
 */
export function findFences(text: string): Fence[] {
  return fencesIn(text, true) ?? fencesIn(text, false)!;
}

/** @param isNested whether fences may stand in one of Markdown; then undefined when the last one is not closed. */
function fencesIn(text: string, isNested: boolean): Fence[] | undefined {
  const fences: Fence[] = [];
  let open: { start: number; bodyFrom: number; marker: string; info: string; indent: number } | undefined;
  let isListed = false;
  let inner = 0;
  let at = 0;
  while (at < text.length) {
    const newline = text.indexOf('\n', at);
    const lineEnd = newline < 0 ? text.length : newline;
    const next = newline < 0 ? text.length : newline + 1;
    const most = (open?.indent ?? (isListed ? DEEPEST_ITEM : 0)) + 3;
    const marker = fenceMarker(text, at, lineEnd, most);
    if (marker === undefined) {
      if (open === undefined)
        isListed = (isListed && isInItem(text, at, lineEnd)) || LIST_ITEM.test(text.slice(at, at + 24));
    } else {
      const info = text.slice(marker.after, lineEnd).trim();
      const { indent } = marker;
      if (open === undefined) {
        if (!info.includes('`')) open = { start: at, bodyFrom: next, marker: marker.run, info, indent };
      } else if (marker.run.startsWith(open.marker)) {
        if (info !== '') inner += Number(isNested && MARKDOWN.test(open.info));
        else if (inner > 0) inner--;
        else {
          const body = outdented(text.slice(open.bodyFrom, at), open.indent);
          fences.push({ start: open.start, end: lineEnd, info: open.info, body });
          open = undefined;
        }
      }
    }
    at = next;
  }
  if (open !== undefined) {
    if (isNested) return undefined;
    const body = outdented(text.slice(open.bodyFrom), open.indent);
    fences.push({ start: open.start, end: text.length, info: open.info, body });
  }
  return fences;
}

const MARKDOWN = /^(?:markdown|md)\b/i;

/** What belongs to an item of a list is indented, and so is a fence in it. */
const LIST_ITEM = /^ {0,15}(?:[-*+]|\d{1,4}[.)])[ \t]/;
const DEEPEST_ITEM = 16;

function isInItem(text: string, from: number, to: number): boolean {
  return text[from] === ' ' || text.slice(from, to).trim() === '';
}

/** Without the indentation of the fence, as far as the lines have it (CommonMark 4.5). */
function outdented(body: string, indent: number): string {
  return indent === 0 ? body : body.replace(new RegExp(`^ {1,${indent}}`, 'gm'), '');
}

/** @param most spaces before it. */
function fenceMarker(
  text: string,
  from: number,
  to: number,
  most: number,
): { run: string; after: number; indent: number } | undefined {
  let at = from;
  while (at < to && at - from < most && text[at] === ' ') at++;
  const mark = text[at];
  if (mark !== '`' && mark !== '~') return undefined;
  let after = at;
  while (after < to && text[after] === mark) after++;
  return after - at >= 3 ? { run: text.slice(at, after), after, indent: at - from } : undefined;
}

function artifactOf(fence: Fence, defaultLanguage: string): OutputArtifact[] {
  // Pandoc's attributes stand in braces.
  const info = fence.info.replace(/^\{\s*\.?(.*)\}$/, '$1');
  const [first = '', ...rest] = info.split(/\s+/);
  const [language = '', behindColon] = first.split(/:(?=.*[./])/);
  const path = pathNamed(info) ?? behindColon ?? quoted(info) ?? rest.find(isPath);
  if (path === undefined || fence.body.trim() === '') return [];
  const tag = language === '' || language.includes('=') ? defaultLanguage : language;
  return [{ type: 'code', language: tag.slice(0, 64), path, content: fence.body }];
}

function pathNamed(info: string): string | undefined {
  const named = /(?:^|\s)(?:path|file|filename|title)=(?:"([^"]+)"|'([^']+)'|([^"'\s}]+))/.exec(info);
  return named?.[1] ?? named?.[2] ?? named?.[3];
}

function quoted(info: string): string | undefined {
  const word = /^\S+\s+(?:"([^"]+)"|'([^']+)')$/.exec(info);
  const path = word?.[1] ?? word?.[2];
  return path !== undefined && /[./\\]/.test(path) ? path : undefined;
}

/** A name with an ending or in a folder, or one that files without either have; no attribute of a fence. */
function isPath(word: string): boolean {
  if (/[=`"',:*{}]|^[[(]/.test(word)) return false;
  return /\.[\p{L}\d][^.\s]*$|[^/\\][/\\]./u.test(word) || BARE_FILE.test(word);
}

const BARE_FILE =
  /^(?:(?:Docker|Container|Make|GNUmake|Rake|Gem|Proc|Vagrant|Jenkins|Brew|Just|Pip|Pod|Caddy)file|LICEN[CS]E|README|CHANGELOG|NOTICE|AUTHORS|CODEOWNERS|BUILD|WORKSPACE|Kconfig|makefile|justfile)$/;

function readProse(text: string, fences: readonly Fence[]): FreeText {
  const only = fences.length === 1 ? fences[0]! : undefined;
  if (only !== undefined && /^(?:markdown|md)?$/i.test(only.info)) {
    const before = text.slice(0, only.start).trim();
    const after = text.slice(only.end).trim();
    const isLed = before === '' || LEADING_LINE.test(before);
    if (isLed && (after === '' || TRAILING_LINE.test(after))) {
      const notes = after === '' ? [] : [chatterRemoved('text around the fenced document was left out')];
      return { content: only.body, artifacts: [], notes };
    }
  }
  return withoutChatter(text);
}

function withoutChatter(text: string): FreeText {
  const content = YAML_KEY.test(text) ? text : text.replace(LEADING_CHATTER, '');
  const left = content.trim() === '' ? text : content;
  const notes = left === text ? [] : [chatterRemoved('a leading line of chatter was left out')];
  // The first line of code keeps what it is indented by.
  return { content: left.replace(BLANK_LINES, '').trimEnd(), artifacts: [], notes };
}

/** @param message what the model said around its answer, and what became of it. */
export function chatterRemoved(message: string): Note {
  return { code: 'chatter_removed', message };
}

/** Whether a program without a fence around it has opened a text in which the fence stands, as docstrings have examples. */
function isInDocstring(text: string, { start }: Fence): boolean {
  const quotes = text.slice(0, start).match(/"""|'''/g);
  return quotes !== null && quotes.length % 2 === 1;
}

/** How a line begins that introduces the answer. */
export const CHATTER = "\\s*(?:sure|certainly|of course|absolutely|okay|ok|here(?:'s| is| are)|below is)\\b";

// One short such line that ends in a colon.
const LEADING_CHATTER = new RegExp(`^${CHATTER}[^\\n]{0,240}:[ \\t]*\\r?\\n\\s*`, 'i');
/** Before a document in a fence, and behind it. */
const LEADING_LINE = new RegExp(`^${CHATTER}[^\\n]{0,240}[:.!]$`, 'i');
const TRAILING_LINE =
  /^(?:let me know|feel free|if you|i hope|hope this|please let|would you like|i can also)\b[^\n]{0,240}$/i;
const BLANK_LINES = /^(?:[^\S\n]*\n)+/;
const YAML_KEY = /^\s*[a-z]+:[ \t]*\r?\n[ \t-]/;
