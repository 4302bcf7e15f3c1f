import { asObject } from '../../contracts/objects.js';

/** Content is a text, or (some servers) a part with a text, or a list of such. Thoughts are no content. */
export function textOf(value: unknown, depth = 0): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value) && depth < MOST_DEPTH)
    return value.map((part) => (isThought(part) ? '' : textOf(part, depth + 1))).join('');
  const text = asObject(value)?.text;
  return typeof text === 'string' ? text : '';
}

/** Of Mistral: `{type: "thinking", thinking: [{type: "text", text}]}` among the parts. */
export function thoughtsIn(content: unknown): string {
  if (!Array.isArray(content)) return '';
  return content
    .filter(isThought)
    .map((part) => textOf(part.thinking) || textOf(part.reasoning) || textOf(part))
    .join('');
}

function isThought(part: unknown): part is Record<string, unknown> {
  const type = asObject(part)?.type;
  return type === 'thinking' || type === 'reasoning';
}

/** A number of tokens; undefined when it is none. */
export function tokenCount(value: unknown): number | undefined {
  const isCount = typeof value === 'number' && Number.isInteger(value) && value >= 0;
  return isCount && value <= MOST_TOKENS ? value : undefined;
}

/** Parts within parts are nested once; the stack of a thread bears some thousands. */
const MOST_DEPTH = 16;
/** No model has written more at once; and sums of more would not be exact. */
const MOST_TOKENS = 1_000_000_000;

/** Most characters of a name: names of models and reasons stand in outcomes and metrics. */
export const NAME_CHARACTERS = 256;
