import { outputFields } from '../contracts/outcome.js';
import Type from '../contracts/typebox.js';
import type { Domain, DomainFinding } from './domain.js';
import { fileFindings } from './files.js';
import { leftovers } from './leftovers.js';
import { noteAt, type Source, sourcesOf } from './sources.js';

const Texts = (description: string) => Type.Optional(Type.Array(Type.String(), { description }));

/** Components and layouts that everyone can use. */
export const uiDesign: Domain = {
  name: 'ui-design',
  description: 'User interface components and layouts, with accessibility.',
  kind: 'code',
  output: Type.Object(
    {
      ...outputFields,
      framework: Type.Optional(Type.String({ description: 'e.g. "react", "vue", "html".' })),
      components: Type.Optional(
        Type.Array(
          Type.Object(
            {
              name: Type.String(),
              purpose: Type.Optional(Type.String({ description: 'What it is for, in one sentence.' })),
              props: Texts('Its properties, each "name: type".'),
              states: Texts('The states it has, e.g. "loading", "empty", "error".'),
            },
            { additionalProperties: false },
          ),
          { description: 'The components of the content.' },
        ),
      ),
      accessibility: Type.Optional(
        Type.Array(
          Type.Object(
            {
              criterion: Type.String({ description: 'Number of the WCAG 2.2 criterion, e.g. "1.4.3".' }),
              how: Type.String({ description: 'How it is met.' }),
            },
            { additionalProperties: false },
          ),
          { description: 'The WCAG 2.2 criteria that matter here, and how each is met.' },
        ),
      ),
      breakpoints: Type.Optional(
        Type.Array(
          Type.Object(
            {
              name: Type.String({ description: 'e.g. "narrow".' }),
              min_width_px: Type.Optional(Type.Number({ minimum: 0, description: 'From this width on.' })),
              layout: Type.Optional(Type.String({ description: 'What changes there.' })),
            },
            { additionalProperties: false },
          ),
          { description: 'Where the layout changes with the width.' },
        ),
      ),
      design_tokens: Type.Optional(
        Type.Array(
          Type.Object(
            {
              name: Type.String({ description: 'e.g. "color-danger".' }),
              value: Type.String({ description: 'e.g. "#b00020".' }),
            },
            { additionalProperties: false },
          ),
          { description: 'Colours, sizes and durations that the components use.' },
        ),
      ),
    },
    { additionalProperties: false },
  ),
  rules: (output) => [
    ...fileFindings(output),
    ...sourcesOf(output).flatMap((source) => [...leftovers(source), ...accessibilityNotes(source)]),
  ],
};

function accessibilityNotes(source: Source): DomainFinding[] {
  const tags = tagsIn(withoutComments(source.text));
  const places = (fails: (tag: Tag) => boolean) => tags.filter(fails).map(({ at }) => at);
  return [
    ...noteAt(source, places(lacksAlt), 'the image has no alt (WCAG 1.1.1)'),
    ...noteAt(source, places(hasPositiveTabindex), 'a positive tabindex breaks the focus order (WCAG 2.4.3)'),
    ...noteAt(source, places(isClickableBox), 'a click handler on an element without role (WCAG 4.1.2)'),
    ...noteAt(source, places(lacksLanguage), 'the page has no lang (WCAG 3.1.1)'),
    ...noteAt(source, places(forbidsZoom), 'the viewport forbids to zoom (WCAG 1.4.4)'),
  ];
}

interface Tag {
  readonly name: string;
  readonly at: number;
  readonly attributes: string;
}

function lacksAlt({ name, attributes }: Tag): boolean {
  const named =
    /\balt\b|\baria-(?:hidden|label|labelledby)\b|\brole\s*=\s*["'{\s]{1,4}(?:none|presentation)\b/i;
  return name === 'img' && !named.test(attributes) && !takesMore(attributes);
}

function hasPositiveTabindex({ attributes }: Tag): boolean {
  return /\btabindex\s{0,4}=\s{0,4}(?:["'][1-9]\d{0,5}["']|\{\s{0,4}["']?[1-9]\d{0,5}["']?\s{0,4}\}|[1-9]\d{0,5}(?![^\s/]))/i.test(
    attributes,
  );
}

function isClickableBox({ name, attributes }: Tag): boolean {
  if (name !== 'div' && name !== 'span') return false;
  const handler = /(?:\bon:?click|@click[\w.]{0,40}|\bv-on:click[\w.]{0,40}|\(click\))\s{0,4}=/i;
  const excused = /\brole\b|\baria-hidden\b|stopPropagation/i;
  return handler.test(attributes) && !excused.test(attributes) && !takesMore(attributes);
}

function lacksLanguage({ name, attributes }: Tag): boolean {
  return name === 'html' && !/\blang\b/i.test(attributes) && !takesMore(attributes);
}

function forbidsZoom({ name, attributes }: Tag): boolean {
  return (
    name === 'meta' &&
    /user-scalable\s{0,4}=\s{0,4}(?:no|0)\b|maximum-scale\s{0,4}=\s{0,4}1(?:\.0)?\b/i.test(attributes)
  );
}

/** Attributes may come from elsewhere: a JSX spread, or v-bind with an object. */
function takesMore(attributes: string): boolean {
  return /\{\s{0,4}\.\.\.|\bv-bind\s{0,4}=|\$\$(?:rest)?[pP]rops/.test(attributes);
}

// A tag longer than this is no tag, but a `<` of the code.
const maxTagCharacters = 8192;

/** Opening tags in HTML, JSX and single-file components. A tag is left where its search ended: linear. */
function tagsIn(text: string): Tag[] {
  const opening = /<([A-Za-z][\w.-]{0,60})(?=[\s/>])/g;
  const tags: Tag[] = [];
  for (let open = opening.exec(text); open !== null; open = opening.exec(text)) {
    const from = opening.lastIndex;
    const end = endOfTag(text, from);
    opening.lastIndex = end;
    if (text[end] === '>') tags.push({ name: open[1]!, at: open.index, attributes: text.slice(from, end) });
  }
  return tags;
}

/** Place of the `>` that closes the tag: not one inside of quotes or braces. */
function endOfTag(text: string, from: number): number {
  const limit = Math.min(text.length, from + maxTagCharacters);
  const marks = /["'`{}>]/g;
  marks.lastIndex = from;
  let depth = 0;
  let quote = '';
  for (let mark = marks.exec(text); mark !== null && mark.index < limit; mark = marks.exec(text)) {
    const [character] = mark;
    if (quote !== '') quote = character === quote ? '' : quote;
    else if (character === '{') depth++;
    else if (character === '}') depth--;
    else if (character !== '>') quote = character;
    else if (depth <= 0) return mark.index;
  }
  return limit;
}

/** Comments blanked, so that places and lines stay. */
function withoutComments(text: string): string {
  const blanked = (comment: string) => comment.replace(/[^\n]+/g, (line) => ' '.repeat(line.length));
  return [
    ['<!--', '-->'],
    ['/*', '*/'],
  ].reduce((left, [open, close]) => {
    const parts: string[] = [];
    let from = 0;
    for (;;) {
      const start = left.indexOf(open!, from);
      const end = start < 0 ? -1 : left.indexOf(close!, start + open!.length);
      if (end < 0) break;
      parts.push(left.slice(from, start), blanked(left.slice(start, end + close!.length)));
      from = end + close!.length;
    }
    return [...parts, left.slice(from)].join('');
  }, text);
}
