import { findFences } from './free-text.js';

export const THINK_END = '</think>';
/** Of gpt-oss: what follows is the answer, behind what is said of its form. */
const FINAL_CHANNEL = '<|channel|>final';
const MESSAGE = ['<|message|>', '<|constrain|>json<|message|>'];

/** What models begin their thoughts with, and what they end them with, where a server leaves both in the content. */
const TAGS = new Map([
  ['<think>', THINK_END],
  ['<thinking>', '</thinking>'],
  ['<thought>', '</thought>'],
  ['<reasoning>', '</reasoning>'],
  ['<seed:think>', '</seed:think>'],
  ['[THINK]', '[/THINK]'],
  ['\u25c1think\u25b7', '\u25c1/think\u25b7'],
  // gpt-oss, of a server that does not read its channels.
  ['<|channel|>analysis<|message|>', FINAL_CHANNEL],
]);
/** What stands before an answer without thoughts, or behind those that the prompt began. */
const LONE = [THINK_END, ...MESSAGE, `${FINAL_CHANNEL}${MESSAGE[0]}`, `${FINAL_CHANNEL} ${MESSAGE[1]}`];
const OPENING = [...TAGS.keys(), ...LONE];

/** A tag that begins thoughts, or ends some that the prompt began, at the beginning of an answer. */
export const THOUGHT_TAG = new RegExp(
  `^\\s*(${OPENING.map((tag) => tag.replace(/[|[\]]/g, '\\$&')).join('|')})`,
);

/** The tag that ends what this one has begun; undefined when it begins no thoughts. */
export function closeOfThoughts(opening: string): string | undefined {
  return TAGS.get(opening);
}

/** Whether an answer that begins so may go on to such a tag. */
export function mayOpenThoughts(beginning: string): boolean {
  return OPENING.some((tag) => tag.startsWith(beginning));
}

/**
 * Whether a `</think>` in free text ends thoughts that the prompt began (decision 0023), or is spoken of. `undefined`: more
 * of what comes behind it must be known.
 */
export function endsThoughts(
  before: string,
  after: string,
  { isEnd, hasThought }: { readonly isEnd: boolean; readonly hasThought: boolean },
): boolean | undefined {
  const opens = before.includes('<think');
  if (QUOTED.test(before.slice(-1))) return false;
  const answer = ANSWER.exec(after);
  if (answer !== null) {
    if (!opens && ANSWER_FIELD.test(answer[0])) return true;
    if (!endsInFence(before)) return true;
  } else if (!isEnd && after.length < LOOK_AHEAD && MAY_BE_ANSWER.test(after)) return undefined;
  if (opens || hasThought || !SAID_BEFORE.test(before.slice(-2)) || !SAID_BEHIND.test(after)) return false;
  return !endsInFence(before);
}

function endsInFence(before: string): boolean {
  const text = before + THINK_END;
  return findFences(text).at(-1)?.end === text.length;
}

const QUOTED = /["'`\\]$/;
const LOOK_AHEAD = 256;
/** The beginning of a JSON object, with the name of its first field, in a fence or not. */
const ANSWER = /^\s*(?:```(?:json)?[ \t]*\r?\n\s*)?\{\s*"\w*"\s*:/i;
const ANSWER_FIELD = /"(?:status|content)"\s*:$/;
const MAY_BE_ANSWER =
  /^\s*(?:`{0,3}|```(?:j|js|jso|json)?[ \t]*\r?|```(?:json)?[ \t]*\r?\n\s*)(?:\{\s*(?:"\w*(?:"\s*)?)?)?$/i;
/** A tag that a model sets stands on a line of its own, or touches what it has thought and what it says. */
const SAID_BEFORE = /(?:^|[\n\r\p{L}\p{N}.!?\u2026:;)\]*>\u3002\uff01\uff1f])$/u;
const SAID_BEHIND = /^(?:$|[\s\p{L}\p{N}#*[>|<_~`-])/u;
