import type { Violation } from '../contracts/validator.js';
import { type FieldCheck, ObjectScanner } from './object-scanner.js';
import { closeOfThoughts, endsThoughts, mayOpenThoughts, THINK_END, THOUGHT_TAG } from './thoughts.js';

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
  /** Where the JSON object begins in `text`; -1 before. */
  start = -1;

  readonly #object: ObjectScanner;
  /** The end of the thoughts so far: what may be the beginning of the tag that ends them. */
  #begun = '';
  /** What ends the thoughts that have begun. */
  #close = THINK_END;
  #hasThought = false;
  /** The end of free text: what may be the beginning of a `</think>`, or such a tag and what has come behind it. */
  #recent = '';
  /** What of it is not shown yet. */
  #held = '';
  #mentions = 0;
  readonly #structured: boolean;

  constructor(checkField: FieldCheck, structured: boolean) {
    this.#object = new ObjectScanner(checkField);
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
        return this.end < 0 ? this.#object.push(part, 0, this.text.length - part.length) : '';
      case 'thinking':
        return this.#think(part) ? this.#decide() : '';
      case 'undecided':
        this.text += part;
        return this.#decide();
    }
  }

  /** Where the JSON object ends in `text`, once it is complete; -1 before. */
  get end(): number {
    return this.#object.end;
  }

  /** Why the answer can no longer become valid. */
  get dead(): readonly Violation[] | undefined {
    return this.#object.dead;
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

  /** Goes on in the model's thoughts; true at their end. */
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
      const close = closeOfThoughts(tag[1]!);
      if (close === undefined) continue;
      this.mode = 'thinking';
      this.#close = close;
      this.text = '';
      if (!this.#think(rest)) return '';
    }
    const text = this.text;
    const lead = /^[\s\uFEFF]*(?:```(?:json)?[ \t]*\r?\n\s*)?/i.exec(text)![0].length;
    const rest = text.slice(lead, lead + 64);
    if (/^\{\s*["}]/.test(rest)) {
      this.mode = 'json';
      this.start = lead;
      return this.#object.push(text, lead + 1, 0);
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
}

function mayStillBeJson(rest: string): boolean {
  return (
    /^(?:\{\s*)?$/.test(rest) ||
    '```json'.startsWith(rest.toLowerCase()) ||
    /^```(?:json)?[ \t]*\r?$/i.test(rest) ||
    mayOpenThoughts(rest)
  );
}

// A text that speaks of the tag more often is about it; each time, all of it is looked at.
const MOST_MENTIONS = 16;

// What is nothing but space for so long is no JSON object.
const UNDECIDED_CHARACTERS = 4096;
