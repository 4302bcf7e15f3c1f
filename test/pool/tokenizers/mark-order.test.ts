import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { JOINS_BACKWARD } from '../../../pool/tokenizers/characters.js';
import { orderMarks } from '../../../pool/tokenizers/mark-order.js';
import { normalizerOf } from '../../../pool/tokenizers/normalizers.js';
import { readVocabulary } from '../../../pool/tokenizers/vocabulary.js';
import { loadVocabulary } from '../../../pool/tokenizers/vocabulary-file.js';
import { effort } from '../../fuzz/effort.js';

const test = suite('order of marks');
const vocabulary = readVocabulary(loadVocabulary('qwen3'));
const flags = vocabulary.characters;
const joining = [...flags.keys()].filter((point) => (flags[point]! & JOINS_BACKWARD) !== 0);

const runs = fc
  .tuple(
    fc.array(fc.constantFrom(...joining), { minLength: 1, maxLength: 12 }),
    fc.array(fc.nat(11), { minLength: 60, maxLength: 300 }),
  )
  .map(([points, order]) => order.map((at) => String.fromCodePoint(points[at % points.length]!)).join(''));
const texts = fc.array(fc.oneof(runs, fc.constantFrom('a', 'é', 'ǖ', '각', ' ', '😀', 'か', '\ud800')), {
  minLength: 1,
  maxLength: 6,
});

test('long runs of marks are put into canonical order, and normalize as before', () => {
  for (const form of ['NFC', 'NFKC'] as const) {
    fc.assert(
      fc.property(texts, (parts) => {
        const text = parts.join('');
        assert.equal(orderMarks(text, form, flags).normalize(form), text.normalize(form));
      }),
      { numRuns: 200 * effort },
    );
  }
});

test('what is normalized has its marks in order already, however many there are', () => {
  const { normalize } = String.prototype;
  const seen: string[] = [];
  String.prototype.normalize = function (form) {
    seen.push(String(this));
    return normalize.call(this, form);
  };
  try {
    normalizerOf(vocabulary).normalize(`a${'\u0301\u0316'.repeat(10_000)}`);
  } finally {
    String.prototype.normalize = normalize;
  }
  const [longest] = seen.sort((a, b) => b.length - a.length);
  assert.equal(longest, `a${'\u0316'.repeat(10_000)}${'\u0301'.repeat(10_000)}`);
});

test('short runs and other text stay as they are', () => {
  for (const text of ['', 'abc', 'Привет', `a${'\u0301\u0316'.repeat(20)}`, '語'.repeat(500)])
    assert.equal(orderMarks(text, 'NFC', flags), text);
});

test.run();
