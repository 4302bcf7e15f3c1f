import { excerpt } from '../contracts/excerpt.js';
import type { Violation } from '../contracts/validator.js';

/** Looks at a finished top-level field; violations mean that the answer can no longer become valid. */
export type FieldCheck = (name: string, json: string) => readonly Violation[];

/**
 * Reads a model's answer while it streams: is it the JSON object that was asked for, or free text? Gives the
 * part of the result that a caller may see, checks each top-level field as it ends, and knows when the answer
 * can no longer become valid. Each character is looked at once, in the part that brought it: to look into
 * `text` while it grows would copy it again for every part.
 */
export class AnswerScanner {
  /** What is left of the answer without a leading block of `<think>`. */
  text = '';
  mode: 'undecided' | 'thinking' | 'json' | 'text' = 'undecided';
  /** Where the JSON object begins and (once it is complete) ends in `text`; -1 before. */
  start = -1;
  end = -1;
  /** Why the answer can no longer become valid. */
  dead: readonly Violation[] | undefined;

  #state: 'key_or_end' | 'key' | 'colon' | 'value' | 'string' | 'nested' | 'primitive' | 'comma_or_end' =
    'key_or_end';
  #field = '';
  /** What earlier parts brought of the key or the value that is being read. */
  #begun = '';
  /** Where that key or value goes on in this part. */
  #from = 0;
  #depth = 0;
  #quoted = false;
  #escaped = false;
  /** Content that may be shown, but for an escape that is not complete, which waits in `#begun`. */
  #shown = '';
  readonly #checkField: FieldCheck;
  readonly #structured: boolean;

  constructor(checkField: FieldCheck, structured: boolean) {
    this.#checkField = checkField;
    this.#structured = structured;
  }

  /** Takes the next part of the answer; returns what it adds to the visible result. */
  push(part: string): string {
    if (this.dead !== undefined) return '';
    switch (this.mode) {
      case 'text':
        this.text += part;
        return part;
      case 'json':
        this.text += part;
        return this.end < 0 ? this.#scan(part, 0) : '';
      case 'thinking':
        return this.#think(part);
      case 'undecided':
        this.text += part;
        return this.#decide();
    }
  }

  /** The answer is complete: what was held back because it might have become something else is text. */
  finish(): string {
    if (this.mode !== 'undecided') return '';
    this.mode = 'text';
    return this.text;
  }

  /** Skips to the end of the model's thoughts; `#begun` holds what may be the beginning of `</think>`. */
  #think(part: string): string {
    const seen = this.#begun + part;
    const close = seen.indexOf(THINK_END);
    if (close < 0) {
      this.#begun = seen.slice(-THINK_END.length + 1);
      return '';
    }
    this.#begun = '';
    this.mode = 'undecided';
    this.text = seen.slice(close + THINK_END.length);
    return this.#decide();
  }

  #decide(): string {
    const text = this.text;
    const thought = /^\s*<think>/.exec(text);
    if (thought !== null) {
      this.mode = 'thinking';
      this.text = '';
      return this.#think(text.slice(thought[0].length));
    }
    const lead = /^[\s\uFEFF]*(?:```(?:json)?[ \t]*\r?\n\s*)?/i.exec(text)![0].length;
    const rest = text.slice(lead, lead + 64);
    if (/^\{\s*["}]/.test(rest)) {
      this.mode = 'json';
      this.start = lead;
      return this.#scan(text, lead + 1);
    }
    if (mayStillBeJson(rest) && text.length <= UNDECIDED_CHARACTERS) return '';
    if (this.#structured) {
      this.#die('', 'must be the JSON object that was asked for');
      return '';
    }
    this.mode = 'text';
    return text;
  }

  /** Reads a part from `at` on; it is the last one that `text` got. */
  #scan(part: string, at: number): string {
    const base = this.text.length - part.length;
    this.#from = at;
    this.#shown = '';
    for (let i = at; i < part.length && this.dead === undefined && this.end < 0; i++) {
      const c = part.charCodeAt(i);
      switch (this.#state) {
        case 'key_or_end':
          if (c === QUOTE) this.#begin('key', i + 1);
          else if (c === CLOSE_BRACE) this.end = base + i + 1;
          else if (!isSpace(c)) this.#die('', `must have a field name at character ${base + i}`);
          break;
        case 'key':
        case 'string':
          i = this.#scanString(part, i);
          break;
        case 'colon':
          if (c === COLON) this.#state = 'value';
          else if (!isSpace(c)) this.#die(`/${this.#field}`, 'must be followed by a colon');
          break;
        case 'value':
          if (!isSpace(c)) this.#beginValue(c, i);
          break;
        case 'nested':
          if (this.#closesNested(c)) this.#endValue(part.slice(this.#from, i + 1));
          break;
        case 'primitive':
          if (c === COMMA || c === CLOSE_BRACE || isSpace(c)) {
            this.#endValue(part.slice(this.#from, i));
            i--;
          }
          break;
        case 'comma_or_end':
          if (c === COMMA) this.#state = 'key_or_end';
          else if (c === CLOSE_BRACE) this.end = base + i + 1;
          else if (!isSpace(c))
            this.#die(`/${this.#field}`, 'must be followed by a comma or the end of the object');
          break;
      }
    }
    this.#keep(part);
    return this.#shown;
  }

  /** Keeps what this part brought of an unfinished key or value. */
  #keep(part: string): void {
    if (this.#state === 'string' && this.#field === 'content')
      this.#showContent(part.slice(this.#from), false);
    else if (
      this.#state === 'key' ||
      this.#state === 'string' ||
      this.#state === 'nested' ||
      this.#state === 'primitive'
    ) {
      this.#begun += part.slice(this.#from);
    }
  }

  #begin(state: 'key' | 'string' | 'nested' | 'primitive', from: number): void {
    this.#state = state;
    this.#from = from;
    this.#begun = '';
    this.#escaped = false;
    this.#quoted = false;
  }

  #beginValue(c: number, at: number): void {
    if (this.#field === 'content' && c !== QUOTE && c !== LOWER_N) {
      this.#die('/content', 'must be of type string');
    } else if (c === QUOTE) {
      this.#begin('string', at + 1);
    } else if (c === OPEN_BRACE || c === OPEN_BRACKET) {
      this.#begin('nested', at);
      this.#depth = 1;
    } else if (PRIMITIVE_START.includes(String.fromCharCode(c))) {
      this.#begin('primitive', at);
    } else {
      this.#die(`/${this.#field}`, 'must be a JSON value');
    }
  }

  /** Goes on to the quote that ends a string, or to the end of the part; returns where it stopped. */
  #scanString(part: string, from: number): number {
    for (let at = from; at < part.length; at++) {
      if (this.#escaped) {
        this.#escaped = false;
        continue;
      }
      const c = part.charCodeAt(at);
      if (c === BACKSLASH) this.#escaped = true;
      else if (c === QUOTE) {
        this.#endString(part.slice(this.#from, at));
        return at;
      }
    }
    return part.length;
  }

  #endString(rest: string): void {
    if (this.#state === 'key') {
      this.#field = this.#begun + rest;
      this.#state = 'colon';
    } else if (this.#field === 'content') {
      this.#showContent(rest, true);
      this.#state = 'comma_or_end'; // a string by its first character, and judged as a whole later
    } else {
      this.#begun = `"${this.#begun}`;
      this.#endValue(`${rest}"`);
    }
  }

  #closesNested(c: number): boolean {
    if (this.#quoted) {
      if (this.#escaped) this.#escaped = false;
      else if (c === BACKSLASH) this.#escaped = true;
      else if (c === QUOTE) this.#quoted = false;
    } else if (c === QUOTE) this.#quoted = true;
    else if (c === OPEN_BRACE || c === OPEN_BRACKET) this.#depth++;
    else if (c === CLOSE_BRACE || c === CLOSE_BRACKET) this.#depth--;
    return this.#depth === 0;
  }

  #endValue(rest: string): void {
    this.#state = 'comma_or_end';
    if (this.#field === 'content') return;
    const violations = this.#checkField(this.#field, this.#begun + rest);
    if (violations.length > 0) this.dead = violations;
  }

  /** Decodes what has arrived of the content, but for an escape that is not complete. */
  #showContent(rest: string, isLast: boolean): void {
    const raw = this.#begun + rest;
    const end = isLast ? raw.length : completeUpTo(raw);
    this.#shown += decodeString(raw.slice(0, end));
    this.#begun = raw.slice(end);
  }

  #die(path: string, message: string): void {
    this.dead = [{ path: excerpt(path, PATH_CHARACTERS), message }];
  }
}

/** Where the incomplete escape or character begins with which a raw string ends; its length when there is none. */
function completeUpTo(raw: string): number {
  if ((raw.charCodeAt(raw.length - 1) & 0xfc00) === 0xd800) return raw.length - 1;
  const tailFrom = Math.max(0, raw.length - 12);
  const open = INCOMPLETE_ESCAPE.exec(raw.slice(tailFrom));
  if (open === null || isEscapedBackslash(raw, tailFrom + open.index)) return raw.length;
  return tailFrom + open.index;
}

/** Decodes the inside of a JSON string; control characters that should have been escaped stand for themselves. */
function decodeString(raw: string): string {
  if (!raw.includes('\\')) return raw;
  try {
    return (JSON.parse(`"${escapeControls(raw)}"`) as string).toWellFormed();
  } catch {
    return raw; // a preview only: the answer is judged as a whole at its end
  }
}

/** Escapes the control characters of a text that stands inside a JSON string. */
export function escapeControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u001f]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function mayStillBeJson(rest: string): boolean {
  return (
    /^(?:\{\s*)?$/.test(rest) ||
    '```json'.startsWith(rest.toLowerCase()) ||
    /^```(?:json)?[ \t]*\r?$/i.test(rest) ||
    '<think>'.startsWith(rest)
  );
}

/** Whether the backslash at `at` is itself escaped by an odd run of backslashes before it. */
function isEscapedBackslash(text: string, at: number): boolean {
  let run = 0;
  for (let i = at - 1; i >= 0 && text.charCodeAt(i) === BACKSLASH; i--) run++;
  return run % 2 === 1;
}

function isSpace(c: number): boolean {
  return c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09;
}

// A lone backslash, an unfinished \uXXXX, or the first half of a surrogate pair.
const INCOMPLETE_ESCAPE =
  /\\(?:u[0-9a-fA-F]{0,3}|u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?)?$/;
const PATH_CHARACTERS = 256;
const THINK_END = '</think>';
// What is nothing but space for so long is no JSON object.
const UNDECIDED_CHARACTERS = 4096;
const PRIMITIVE_START = '-0123456789tfn';
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const LOWER_N = 0x6e;
