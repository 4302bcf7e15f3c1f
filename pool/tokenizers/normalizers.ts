import { JOINS_BACKWARD } from './characters.js';
import { orderMarks } from './mark-order.js';
import type { Vocabulary } from './vocabulary.js';

/** Brings text to the form that the vocabulary was made from. */
export interface Normalizer {
  normalize(text: string): string;
  /**
   * The last place between `from` and `stop` at which what stands before can be normalized without what comes
   * behind; `from` when there is none.
   */
  cut(text: string, from: number, stop: number): number;
}

export function normalizerOf(vocabulary: Vocabulary): Normalizer {
  const form = vocabulary.description.normalizer;
  return form === 'none' ? asItIs : unicode(form, vocabulary.characters);
}

const asItIs: Normalizer = { normalize: (text) => text, cut: (_text, _from, stop) => stop };

function unicode(form: 'NFC' | 'NFKC', flags: Uint8Array): Normalizer {
  const unstable = form === 'NFC' ? /[^\0-\u02ff]/ : /[^\0-\x7f]/;
  return {
    normalize: (text) => (unstable.test(text) ? orderMarks(text, form, flags).normalize(form) : text),
    cut(text, from, stop) {
      for (let at = Math.min(stop, text.length - 1); at > from; at--) {
        // A high surrogate without its other half yet may still become a mark.
        const point = text.codePointAt(at)!;
        if (point >= 0xd800 && point <= 0xdbff) continue;
        if ((flags[point]! & JOINS_BACKWARD) === 0) return at;
      }
      return from;
    },
  };
}
