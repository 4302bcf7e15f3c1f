import { createHash } from 'node:crypto';

/** A part of a document that makes sense on its own; what the retriever finds. */
export interface Section {
  /** The same for the same file, heading and position among equal headings. */
  readonly artifactId: string;
  readonly file: string;
  /** The headings above it, outermost first, joined by ` > `. */
  readonly heading: string;
  /** Markdown. */
  readonly text: string;
}

/**
 * Splits a document: markdown and text by headings and then paragraphs, other files by blank lines.
 * @param file path below the folder of documents, with `/`.
 */
export function sectionsOf(file: string, text: string): Section[] {
  const language = languages[extensionOf(file)];
  const normal = text.replaceAll('\r\n', '\n');
  const parts = language === undefined ? proseParts(normal) : sourceParts(normal, file, language);
  const seen = new Map<string, number>();
  return parts.map(({ heading, text: body }) => {
    const position = seen.get(heading) ?? 0;
    seen.set(heading, position + 1);
    return { artifactId: artifactId(file, heading, position), file, heading, text: withoutMarks(body) };
  });
}

/** Extensions of the files that can be indexed. */
export function isIndexed(file: string): boolean {
  const extension = extensionOf(file);
  return extension === 'md' || extension === 'txt' || extension in languages;
}

/** The line before each section in a context. */
export function sourceMark(id: string): string {
  return `<!-- source: ${id} -->`;
}

const languages: Readonly<Record<string, string>> = {
  c: 'c',
  cpp: 'cpp',
  css: 'css',
  go: 'go',
  h: 'c',
  hpp: 'cpp',
  html: 'html',
  java: 'java',
  js: 'javascript',
  json: 'json',
  jsx: 'jsx',
  kt: 'kotlin',
  mjs: 'javascript',
  py: 'python',
  rs: 'rust',
  sh: 'bash',
  sql: 'sql',
  ts: 'typescript',
  tsx: 'tsx',
  yaml: 'yaml',
  yml: 'yaml',
};

function extensionOf(file: string): string {
  return /\.([a-z]+)$/i.exec(file)?.[1]?.toLowerCase() ?? '';
}

interface Part {
  readonly heading: string;
  readonly text: string;
}

/** Longer sections are split at paragraphs, so that one of them does not fill a whole context. */
const maxCharacters = 2000;

function proseParts(text: string): Part[] {
  const parts: Part[] = [];
  const headings: string[] = [];
  let lines: string[] = [];
  let inFence = false;

  const close = () => {
    const body = lines.join('\n').trim();
    lines = [];
    // A heading with nothing below it says nothing.
    if (body.replace(/^#+ .*$/m, '').trim() === '') return;
    for (const piece of grouped(paragraphsOf(body)))
      parts.push({ heading: headings.join(' > '), text: piece });
  };
  for (const line of text.split('\n')) {
    if (/^\s*(?:```|~~~)/.test(line)) inFence = !inFence;
    const title = inFence ? null : /^(#{1,6}) +(.+?) *#*$/.exec(line);
    if (title !== null) {
      close();
      headings.length = Math.min(headings.length, title[1]!.length - 1);
      headings.push(title[2]!);
    }
    lines.push(line);
  }
  close();
  return parts;
}

/** Blank lines inside a code fence do not end a paragraph. */
function paragraphsOf(body: string): string[] {
  const paragraphs: string[] = [];
  let open = false;
  for (const piece of body.split(/\n{2,}/)) {
    if (open) paragraphs.push(`${paragraphs.pop()}\n\n${piece}`);
    else paragraphs.push(piece);
    if ((piece.match(/^\s*(?:```|~~~)/gm)?.length ?? 0) % 2 === 1) open = !open;
  }
  return paragraphs;
}

function sourceParts(text: string, file: string, language: string): Part[] {
  const blocks = text.split(/\n{2,}(?=\S)/).filter((block) => block.trim() !== '');
  return grouped(blocks).map((block) => ({
    heading: file,
    text: `\`\`\`${language}\n${block.trimEnd()}\n\`\`\``,
  }));
}

function grouped(blocks: readonly string[]): string[] {
  const groups: string[] = [];
  for (const block of blocks) {
    const last = groups.at(-1);
    if (last !== undefined && last.length + block.length < maxCharacters)
      groups[groups.length - 1] = `${last}\n\n${block}`;
    else groups.push(block);
  }
  return groups;
}

function artifactId(file: string, heading: string, position: number): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([file, heading, position]))
    .digest('hex')
    .slice(0, 8);
  const name = file
    .replace(/\.[a-z]+$/i, '')
    .split('/')
    .at(-1)!;
  return `art-${slug(name)}-${slug(heading.split(' > ').at(-1)!)}-${hash}`.replace(/-{2,}/g, '-');
}

function slug(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 40);
}

/** A document must not be able to pass a part of itself off as another source. */
function withoutMarks(text: string): string {
  return text.replaceAll('<!-- source:', '<!-- (source):');
}
