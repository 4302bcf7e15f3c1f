import type { TokenizerName } from '../../contracts/threads.js';
import { Counter } from './counter.js';
import { openEngine } from './engine.js';
import { countUpTo, truncate } from './truncate.js';
import { readVocabulary } from './vocabulary.js';

export type { TokenizerName };

/** Counts tokens with a model's vocabulary. Lone surrogates count as U+FFFD. */
export interface Tokenizer {
  readonly name: TokenizerName;
  /** The ids of the whole text, without any that a template would add. */
  encode(text: string): number[];
  /** Number of tokens of the whole text. */
  count(text: string): number;
  /**
   * Number of tokens of the whole text, or undefined when it has more than `limit`. The time that it takes depends on
   * the limit, and not on the length of what is beyond.
   */
  countUpTo(text: string, limit: number): number | undefined;
  /** Counts a text that arrives in parts. */
  counter(): TokenCounter;
  /**
   * The longest prefix, cut at a code point, that has at most `maxTokens` tokens. When the cut falls into an
   * unbroken run of more than 512 UTF-16 units, a slightly longer prefix might fit as well.
   */
  truncate(text: string, maxTokens: number): string;
}

/** Counts a text that arrives in parts; a part may end anywhere, even inside a surrogate pair. */
export interface TokenCounter {
  /**
   * Takes the next part; returns the tokens of all parts so far that no later text can change.
   * @throws {Error} after `end`.
   */
  push(text: string): number;
  /** Tokens of all parts so far that no later text can change. */
  readonly settled: number;
  /** Settled tokens and, of a long run whose end has not come, those that it has at least. */
  readonly least: number;
  /** Ends the text; returns the exact count, equal to that of the whole text. */
  end(): number;
}

/**
 * Opens a tokenizer on a vocabulary that was loaded with `loadVocabulary`, possibly by another thread. Takes
 * less than a millisecond and 2 MiB; the vocabulary is only looked up, never copied. Not to be shared by
 * threads itself.
 * @throws {Error} when the buffer is not a compiled vocabulary of this version.
 */
export function openTokenizer(name: TokenizerName, vocabulary: SharedArrayBuffer): Tokenizer {
  const engine = openEngine(readVocabulary(vocabulary));
  const count = (text: string) => {
    const counter = new Counter(engine);
    counter.push(text);
    return counter.end();
  };
  return {
    name,
    encode(text) {
      const ids: number[] = [];
      const counter = new Counter(engine, ids);
      counter.push(text);
      counter.end();
      return ids;
    },
    count,
    countUpTo: (text, limit) => countUpTo(engine, text, limit),
    counter: () => Counter.ofStream(engine),
    truncate: (text, maxTokens) => truncate(engine, text, maxTokens),
  };
}
