import { outputFields } from '../contracts/outcome.js';
import Type from '../contracts/typebox.js';
import type { Domain, DomainFinding, DomainOutput } from './domain.js';
import { fileFindings } from './files.js';
import { noteAt, placesOf, type Source } from './sources.js';

/** Prose for named readers. */
export const documentation: Domain = {
  name: 'documentation',
  description: 'Documentation: prose for named readers.',
  kind: 'prose',
  language: 'markdown',
  output: Type.Object(
    {
      ...outputFields,
      title: Type.Optional(Type.String({ description: 'Title of the document.' })),
      audience: Type.Optional(Type.String({ description: 'Who reads it, and what they know already.' })),
      document_type: Type.Optional(
        Type.String({
          description:
            'tutorial, how-to, reference or explanation; otherwise its usual name, e.g. "changelog".',
        }),
      ),
      sections: Type.Optional(
        Type.Array(
          Type.Object(
            {
              heading: Type.String(),
              level: Type.Integer({ minimum: 1, maximum: 6, description: '1 is the title.' }),
            },
            { additionalProperties: false },
          ),
          { description: 'The headings, in their order.' },
        ),
      ),
    },
    { additionalProperties: false },
  ),
  rules: (output) => [...fileFindings(output), ...documentsOf(output).flatMap(structureNotes)],
};

function documentsOf({ content, artifacts = [] }: DomainOutput): Source[] {
  const whole = {
    path: '/content',
    linesAbove: 0,
    language: artifacts[0]?.language.toLowerCase(),
    text: content,
  };
  const files = artifacts.map((artifact, index) => ({
    path: `/artifacts/${index}/content`,
    linesAbove: 0,
    language: artifact.language.toLowerCase(),
    text: artifact.content ?? content,
  }));
  return [whole, ...files.filter(({ text }) => text !== content)].filter(isMarkdown);
}

function isMarkdown({ language }: Source): boolean {
  return language === undefined || language === 'markdown' || language === 'md' || language === 'mdx';
}

function structureNotes(source: Source): DomainFinding[] {
  const { skips, openFence } = outline(source.text);
  return [
    ...noteAt(source, skips, 'the heading skips a level'),
    ...noteAt(source, openFence < 0 ? [] : [openFence], 'the code fence is never closed'),
    ...noteAt(source, placesOf(/\blorem ipsum\b/gi, source.text), 'placeholder text is left in'),
  ];
}

/** Walks the lines once: headings outside of fences and front matter, and a fence that stays open. */
function outline(text: string): { readonly skips: readonly number[]; readonly openFence: number } {
  const skips: number[] = [];
  let fence: { readonly mark: string; readonly at: number } | undefined;
  let level = 0;
  let previous = '';
  let end: number;
  for (let at = afterFrontMatter(text); at < text.length; at = end + 1) {
    const newline = text.indexOf('\n', at);
    end = newline < 0 ? text.length : newline;
    const line = text.slice(at, end);
    if (line === '') {
      previous = line;
      continue;
    }
    // Any indent: a fence may stand inside a list.
    const mark = /^\s*(?:[-*+>]\s+)?(`{3,}|~{3,})(.*)/.exec(line);
    if (fence !== undefined) {
      if (mark?.[1]?.startsWith(fence.mark) && mark[2]?.trim() === '') fence = undefined;
    } else if (mark !== null && !mark[2]!.includes('`')) {
      fence = { mark: mark[1]!, at };
    } else {
      const found = levelOf(line, previous);
      if (level > 0 && found > level + 1) skips.push(at);
      if (found > 0) level = found;
    }
    previous = line;
  }
  return { skips, openFence: fence?.at ?? -1 };
}

/** Level of the heading that the line is, or underlines; 0 when it is none. */
function levelOf(line: string, previous: string): number {
  const marks = /^ {0,3}(#{1,6})(?:[ \t]|$)/.exec(line)?.[1];
  if (marks !== undefined) return marks.length;
  if (!/^[^\s#>|*+\d-]/.test(previous) || !/^(?:=+|-+)[ \t]*$/.test(line)) return 0;
  return line.startsWith('=') ? 1 : 2;
}

function afterFrontMatter(text: string): number {
  if (!text.startsWith('---\n')) return 0;
  const end = text.indexOf('\n---\n', 3);
  return end < 0 ? 0 : end + 5;
}
