import { excerpt } from '../contracts/excerpt.js';
import type { Violation } from '../contracts/validator.js';
import { closeOfThoughts, endsThoughts, mayOpenThoughts, THINK_END, THOUGHT_TAG } from './thoughts.js';

/** Looks at a finished top-level field; violations mean that the answer can no longer become valid. */
export type FieldCheck = (name: string, json: string) => readonly Violation[];

/**
 * Reads a model's answer while it streams: is it the JSON object that was asked for, or free text? Gives the
 * part of the result that a caller may see, checks each top-level field as it ends, and knows when the answer
 * can no longer become valid. Each character is looked at once, in the part that brought it: to look into
 * `text` while it grows would copy it again for every part.
 */
export class AnswerScanner {
  /** What is left of the answer without the thoughts before it. */
  text = '';
  mode: 'undecided' | 'thinking' | 'json' | 'text' = 'undecided';
  /** Thoughts that were found, tags included, for the reader to take away; and whether they were shown as the result. */
  thoughts = '';
  voided = false;
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
  /** What ends the thoughts that have begun. */
  #close = THINK_END;
  #hasThought = false;
  /** The end of free text: what may be the beginning of a `</think>`, or such a tag and what has come behind it. */
  #recent = '';
  /** What of it is not shown yet. */
  #held = '';
  #mentions = 0;
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
        return this.#readText(part, false);
      case 'json':
        this.text += part;
        return this.end < 0 ? this.#scan(part, 0) : '';
      case 'thinking':
        return this.#think(part) ? this.#decide() : '';
      case 'undecided':
        this.text += part;
        return this.#decide();
    }
  }

  /** Whether the answer itself has begun. */
  get isAnswering(): boolean {
    return this.mode === 'json' || this.mode === 'text';
  }

  /** The answer is complete: what was held back because it might have become something else is text. */
  finish(): string {
    const shown = this.mode === 'text' ? this.#readText('', true) : '';
    if (this.mode !== 'undecided') return shown;
    this.mode = 'text';
    return shown + (this.#structured ? '' : this.text);
  }

  /** Goes on in the model's thoughts; true at their end. `#begun` holds what may be the beginning of the tag. */
  #think(part: string): boolean {
    const seen = this.#begun + part;
    const at = seen.indexOf(this.#close);
    if (at < 0) {
      this.thoughts += part;
      this.#begun = seen.slice(-this.#close.length + 1);
      return false;
    }
    const end = at + this.#close.length;
    this.thoughts += seen.slice(this.#begun.length, end);
    this.#begun = '';
    this.#answerFrom(seen.slice(end));
    return true;
  }

  /** The thoughts are over; an answer begins anew. */
  #answerFrom(text: string): void {
    this.mode = 'undecided';
    this.#hasThought = true;
    this.text = text;
  }

  #decide(): string {
    for (let tag = THOUGHT_TAG.exec(this.text); tag !== null; tag = THOUGHT_TAG.exec(this.text)) {
      const rest = this.text.slice(tag[0].length);
      this.thoughts += tag[0];
      this.#answerFrom(rest);
      if (tag[1] === THINK_END) continue;
      this.mode = 'thinking';
      this.#close = closeOfThoughts(tag[1]!);
      this.text = '';
      if (!this.#think(rest)) return '';
    }
    const text = this.text;
    const lead = /^[\s\uFEFF]*(?:```(?:json)?[ \t]*\r?\n\s*)?/i.exec(text)![0].length;
    const rest = text.slice(lead, lead + 64);
    if (/^\{\s*["}]/.test(rest)) {
      this.mode = 'json';
      this.start = lead;
      return this.#scan(text, lead + 1);
    }
    if (mayStillBeJson(rest) && text.length <= UNDECIDED_CHARACTERS) return '';
    this.mode = 'text';
    this.text = '';
    return this.#readText(text, false);
  }

  /**
   * Takes a part of free text. It turns out to have been thoughts when they end (decision 0023): where JSON was
   * promised, nothing else makes it an answer, and none of it is shown.
   */
  #readText(part: string, isEnd: boolean): string {
    this.text += part;
    let recent = this.#recent + part;
    const unshown = this.#held + part;
    this.#held = '';
    for (let at = recent.indexOf(THINK_END); at >= 0; at = recent.indexOf(THINK_END)) {
      if (this.#mentions >= MOST_MENTIONS) break;
      const after = recent.slice(at + THINK_END.length);
      const before = this.text.slice(0, this.text.length - recent.length + at);
      const isOver = endsThoughts(before, after, { isEnd, hasThought: this.#hasThought });
      if (isOver === true) return this.#void(before, after);
      if (isOver === undefined) {
        this.#recent = recent.slice(at);
        const waiting = Math.min(unshown.length, this.#recent.length);
        this.#held = unshown.slice(unshown.length - waiting);
        return this.#structured ? '' : unshown.slice(0, unshown.length - waiting);
      }
      this.#mentions++;
      recent = after;
    }
    this.#recent = recent.slice(-THINK_END.length + 1);
    return this.#structured ? '' : unshown;
  }

  #void(thoughts: string, answer: string): string {
    this.thoughts += thoughts + THINK_END;
    this.voided = true;
    this.#recent = '';
    this.#answerFrom(answer);
    return this.#decide();
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
    mayOpenThoughts(rest)
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
// A text that speaks of the tag more often is about it; each time, all of it is looked at.
const MOST_MENTIONS = 16;
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
