import type { Violation } from '../contracts/validator.js';

/** Looks at a finished top-level field; violations mean that the answer can no longer become valid. */
export type FieldCheck = (name: string, json: string) => readonly Violation[];

/**
 * Reads a model's answer while it streams: is it the JSON object that was asked for, or free text? Gives the
 * part of the result that a caller may see, checks each top-level field as it ends, and knows when the answer
 * can no longer become valid. One pass; each character is looked at once.
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

  #at = 0;
  #state: 'key_or_end' | 'key' | 'colon' | 'value' | 'string' | 'nested' | 'primitive' | 'comma_or_end' =
    'key_or_end';
  #from = 0;
  #field = '';
  #depth = 0;
  #quoted = false;
  #escaped = false;
  #shownTo = 0;
  readonly #checkField: FieldCheck;
  readonly #structured: boolean;

  constructor(checkField: FieldCheck, structured: boolean) {
    this.#checkField = checkField;
    this.#structured = structured;
  }

  /** Takes the next part of the answer; returns what it adds to the visible result. */
  push(part: string): string {
    if (this.dead !== undefined) return '';
    this.text += part;
    if (this.mode === 'undecided' || this.mode === 'thinking') this.#decide();
    if (this.mode === 'text') return this.#showText();
    if (this.mode === 'json' && this.end < 0) return this.#scan();
    return '';
  }

  /** The answer is complete: what was held back because it might have become something else is text. */
  finish(): string {
    if (this.mode !== 'undecided') return '';
    this.mode = 'text';
    return this.#showText();
  }

  #decide(): void {
    if (this.mode === 'thinking' || /^\s*<think>/.test(this.text)) {
      this.mode = 'thinking';
      const close = this.text.indexOf('</think>', Math.max(0, this.#at - 8));
      this.#at = this.text.length;
      if (close < 0) return;
      this.text = this.text.slice(close + 8);
      this.#at = 0;
      this.mode = 'undecided';
    }
    const lead = /^[\s\uFEFF]*(?:```(?:json)?[ \t]*\r?\n\s*)?/i.exec(this.text)![0].length;
    const rest = this.text.slice(lead, lead + 64);
    if (/^\{\s*["}]/.test(rest)) {
      this.mode = 'json';
      this.start = lead;
      this.#at = lead + 1;
    } else if (!mayStillBeJson(rest)) {
      if (this.#structured) this.#die('', 'must be the JSON object that was asked for');
      else this.mode = 'text';
    }
  }

  #showText(): string {
    const delta = this.text.slice(this.#shownTo);
    this.#shownTo = this.text.length;
    return delta;
  }

  #scan(): string {
    const text = this.text;
    let shown = '';
    let at = this.#at;
    while (at < text.length && this.dead === undefined && this.end < 0) {
      if (this.#state === 'string' || this.#state === 'key') {
        at = this.#scanString(at);
        continue;
      }
      const c = text.charCodeAt(at);
      switch (this.#state) {
        case 'key_or_end':
          if (c === QUOTE) this.#begin('key', at + 1);
          else if (c === CLOSE_BRACE) this.end = at + 1;
          else if (!isSpace(c)) this.#die('', `must have a field name at character ${at}`);
          break;
        case 'colon':
          if (c === COLON) this.#state = 'value';
          else if (!isSpace(c)) this.#die(`/${this.#field}`, 'must be followed by a colon');
          break;
        case 'value':
          if (!isSpace(c)) this.#beginValue(c, at);
          break;
        case 'nested':
          this.#scanNested(c, at);
          break;
        case 'primitive':
          if (c === COMMA || c === CLOSE_BRACE || isSpace(c)) {
            this.#endValue(at);
            continue;
          }
          break;
        case 'comma_or_end':
          if (c === COMMA) this.#state = 'key_or_end';
          else if (c === CLOSE_BRACE) this.end = at + 1;
          else if (!isSpace(c))
            this.#die(`/${this.#field}`, 'must be followed by a comma or the end of the object');
          break;
      }
      at++;
    }
    this.#at = at;
    if (this.#state === 'string' && this.#field === 'content') shown += this.#showContent(at);
    else if (this.#pendingContent !== undefined) {
      shown += this.#pendingContent;
      this.#pendingContent = undefined;
    }
    return shown;
  }

  #pendingContent: string | undefined;

  #begin(state: 'key' | 'string', from: number): void {
    this.#state = state;
    this.#from = from;
    this.#escaped = false;
  }

  #beginValue(c: number, at: number): void {
    if (this.#field === 'content' && c !== QUOTE && c !== LOWER_N) {
      this.#die('/content', 'must be of type string');
    } else if (c === QUOTE) {
      this.#begin('string', at);
      this.#from = at;
      this.#shownTo = at + 1;
      this.#stringStart = at + 1;
    } else if (c === OPEN_BRACE || c === OPEN_BRACKET) {
      this.#state = 'nested';
      this.#from = at;
      this.#depth = 1;
      this.#quoted = false;
      this.#escaped = false;
    } else if (PRIMITIVE_START.includes(String.fromCharCode(c))) {
      this.#state = 'primitive';
      this.#from = at;
    } else {
      this.#die(`/${this.#field}`, 'must be a JSON value');
    }
  }

  #stringStart = 0;

  /** Goes to the end of a string, or of what has arrived of it. */
  #scanString(from: number): number {
    const text = this.text;
    let at = from;
    if (this.#state === 'string' && at < this.#stringStart) at = this.#stringStart;
    for (; at < text.length; at++) {
      if (this.#escaped) {
        this.#escaped = false;
        continue;
      }
      const c = text.charCodeAt(at);
      if (c === BACKSLASH) this.#escaped = true;
      else if (c === QUOTE) {
        if (this.#state === 'key') {
          this.#field = text.slice(this.#from, at);
          this.#state = 'colon';
        } else {
          if (this.#field === 'content') this.#pendingContent = this.#showContent(at);
          this.#endValue(at + 1);
        }
        return at + 1;
      }
    }
    return at;
  }

  #scanNested(c: number, at: number): void {
    if (this.#quoted) {
      if (this.#escaped) this.#escaped = false;
      else if (c === BACKSLASH) this.#escaped = true;
      else if (c === QUOTE) this.#quoted = false;
    } else if (c === QUOTE) this.#quoted = true;
    else if (c === OPEN_BRACE || c === OPEN_BRACKET) this.#depth++;
    else if (c === CLOSE_BRACE || c === CLOSE_BRACKET) {
      this.#depth--;
      if (this.#depth === 0) this.#endValue(at + 1);
    }
  }

  #endValue(end: number): void {
    this.#state = 'comma_or_end';
    if (this.#field === 'content') return; // a string by its first character, and judged as a whole later
    const violations = this.#checkField(this.#field, this.text.slice(this.#from, end));
    if (violations.length > 0) this.dead = violations;
  }

  /** Decodes what has arrived of the content, but for an escape that is not complete. */
  #showContent(to: number): string {
    let end = to;
    const tail = this.text.slice(Math.max(this.#shownTo, end - 12), end);
    const open = INCOMPLETE_ESCAPE.exec(tail);
    if (open !== null && !isEscapedBackslash(this.text, end - tail.length + open.index, this.#shownTo)) {
      end -= tail.length - open.index;
    }
    const raw = this.text.slice(this.#shownTo, end);
    this.#shownTo = end;
    return decodeString(raw);
  }

  #die(path: string, message: string): void {
    this.dead = [{ path, message }];
  }
}

/** Decodes the inside of a JSON string; control characters that should have been escaped stand for themselves. */
function decodeString(raw: string): string {
  if (!raw.includes('\\')) return raw;
  try {
    return JSON.parse(`"${escapeControls(raw)}"`) as string;
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
function isEscapedBackslash(text: string, at: number, from: number): boolean {
  let run = 0;
  for (let i = at - 1; i >= from && text.charCodeAt(i) === BACKSLASH; i--) run++;
  return run % 2 === 1;
}

function isSpace(c: number): boolean {
  return c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09;
}

// A lone backslash, an unfinished \uXXXX, or the first half of a surrogate pair.
const INCOMPLETE_ESCAPE =
  /\\(?:u[0-9a-fA-F]{0,3}|u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?)?$/;
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
