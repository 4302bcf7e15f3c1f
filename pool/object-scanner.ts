import { excerpt } from '../contracts/excerpt.js';
import type { Violation } from '../contracts/validator.js';
import { completeUpTo, decodeString } from './json-string.js';

/** Looks at a finished top-level field; violations mean that the answer can no longer become valid. */
export type FieldCheck = (name: string, json: string) => readonly Violation[];

/**
 * Reads the JSON object of an answer part by part, each character once. It tracks the top level only: the inside of a
 * field is left to the check (decision 0002).
 */
export class ObjectScanner {
  /** Where the object ends in the answer; -1 before. */
  end = -1;
  /** Why the object can no longer become valid. */
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

  constructor(checkField: FieldCheck) {
    this.#checkField = checkField;
  }

  /**
   * Reads a part from `at` on; `base` is where the part begins in the answer. Returns what it adds to the content that
   * may be shown.
   */
  push(part: string, at: number, base: number): string {
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

function isSpace(c: number): boolean {
  return c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09;
}

const PATH_CHARACTERS = 256;
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
