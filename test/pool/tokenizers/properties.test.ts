import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import type { Tokenizer } from '../../../pool/tokenizers/index.js';
import { effort } from '../../fuzz/effort.js';
import { corpus, countParts, names, referenceOf, tokenizerOf } from './at-tokenizer.js';
import { encodedBy } from './encoded.js';

const pieces = fc.oneof(
  fc.constantFrom(...corpus, ' ', '\n', '\n\n', "'s", 'the ', '<td>', '12', '\u0301', '\u1161'),
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.uint8Array({ maxLength: 12 }).map((bytes) => new TextDecoder().decode(bytes)),
);
/** Runs of a few pieces, again and again: longer than what is looked at before it is counted. */
const runs = fc
  .tuple(
    fc.uniqueArray(
      fc.constantFrom('a', 'e', 't', 'AB', '=', '-', ' ', '\n', '語', 'é', '😀', '\u0301', 'ing'),
      {
        minLength: 1,
        maxLength: 3,
      },
    ),
    fc.array(fc.nat(2), { minLength: 1, maxLength: 40 }),
    fc.integer({ min: 5_000, max: 60_000 }),
  )
  .map(([units, order, length]) => {
    const block = order.map((at) => units[at % units.length]!).join('');
    return block.repeat(Math.ceil(length / block.length));
  });
const texts = fc.array(pieces, { maxLength: 8 }).map((parts) => parts.join(''));
/** gpt-tokenizer 4 does not find the tokens with U+FEFF, and gives those of its bytes. */
const withoutMark = texts.map((text) => text.replaceAll('\ufeff', ''));

for (const name of names) {
  const test = suite(`${name}, for any text`);
  let tokenizer: Tokenizer;
  let reference: (text: string) => number[];

  test.before(async () => {
    tokenizer = await tokenizerOf(name);
    reference = referenceOf(name);
  });

  test('gives the ids of the reference library for generated text', () => {
    const compared = name === 'o200k_harmony' ? withoutMark : texts;
    fc.assert(
      fc.property(compared, (text) => assert.deepEqual(tokenizer.encode(text), reference(text))),
      { numRuns: 150 * effort },
    );
  });

  test('counts a stream as it counts the whole, for every split', () => {
    for (const text of corpus.map((each) => each.slice(0, 400))) {
      const whole = tokenizer.count(text);
      for (let cut = 0; cut <= text.length; cut++) {
        assert.equal(countParts(tokenizer, [text.slice(0, cut), text.slice(cut)]), whole, `cut at ${cut}`);
      }
    }
  });

  test('counts a stream as it counts the whole, for generated splits, and never takes a settled token back', () => {
    fc.assert(
      fc.property(texts, fc.array(fc.nat(40), { minLength: 1, maxLength: 30 }), (text, sizes) => {
        const parts: string[] = [];
        for (let at = 0, i = 0; at < text.length; i++) {
          const size = 1 + sizes[i % sizes.length]!;
          parts.push(text.slice(at, at + size));
          at += size;
        }
        assert.equal(countParts(tokenizer, parts), tokenizer.count(text));
      }),
      { numRuns: 300 * effort },
    );
  });

  test('counts an unbroken run of 200,000 characters, whole and in parts', () => {
    const run = 'a'.repeat(200_000);
    const parts = Array.from({ length: 2000 }, () => 'a'.repeat(100));
    assert.equal(countParts(tokenizer, parts), tokenizer.count(run));
  });

  test('cuts what follows a long run as closely as other text', () => {
    for (const run of ['-', ' ', 'a']) {
      const text = `${run.repeat(40_000)}${'燴嶙'.repeat(1_000)}`;
      const limit = tokenizer.count(run.repeat(40_000)) + 600;
      const tokens = tokenizer.count(tokenizer.truncate(text, limit));
      assert.ok(tokens <= limit && tokens >= 0.95 * limit, `${tokens} of ${limit}`);
    }
  });

  test('knows of a run without an end nearly how many tokens it has, and never more', () => {
    fc.assert(
      fc.property(fc.oneof(runs, texts), fc.integer({ min: 500, max: 20_000 }), (text, step) => {
        const counter = tokenizer.counter();
        let least = 0;
        for (let at = 0; at < text.length; at += step) {
          counter.push(text.slice(at, at + step));
          assert.ok(counter.least >= least);
          least = counter.least;
          assert.ok(least <= tokenizer.count(text.slice(0, at + step)) && least <= tokenizer.count(text));
        }
      }),
      { numRuns: 20 * effort },
    );
  });

  test('knows that a run without an end is long before it ends', () => {
    for (const unit of ['a', '語', '😀', 'ก', ' ', '-', '\u0301', '\u0301\u0323']) {
      const text = unit.repeat(Math.ceil(100_000 / unit.length));
      const counter = tokenizer.counter();
      for (let at = 0; at < text.length; at += 1000) counter.push(text.slice(at, at + 1000));
      // What waits is looked at again when it has doubled, and each window has a margin.
      const { least } = counter;
      const exact = counter.end();
      assert.ok(least > exact / 5 || exact < 200, `${unit}: ${least} of ${exact}`);
    }
  });

  test('counts up to a limit as it counts the whole', () => {
    fc.assert(
      fc.property(texts, fc.nat(60), (text, limit) => {
        const tokens = tokenizer.count(text);
        assert.equal(tokenizer.countUpTo(text, limit), tokens <= limit ? tokens : undefined);
      }),
      { numRuns: 150 * effort },
    );
  });

  test('counts a long run up to its own count, and not to one less', () => {
    fc.assert(
      fc.property(runs, (run) => {
        const tokens = tokenizer.count(run);
        assert.equal(tokenizer.countUpTo(run, tokens), tokens);
        assert.equal(tokenizer.countUpTo(run, tokens - 1), undefined);
      }),
      { numRuns: 20 * effort },
    );
  });

  test('cuts a long run to nearly as much as fits', () => {
    fc.assert(
      fc.property(runs, (run) => {
        const limit = Math.floor(tokenizer.count(run) / 3);
        const tokens = tokenizer.count(tokenizer.truncate(run, limit));
        assert.ok(tokens <= limit && tokens >= 0.9 * limit - 16, `${tokens} of ${limit}`);
      }),
      { numRuns: 20 * effort },
    );
  });

  test('reads no more of a text without end than a limit asks for', () => {
    for (const letter of ['a', 'etaoinshr', 'a\u0301', '語', '😀', 'word and word\n']) {
      // It ends before it would be looked at as a run without an end.
      const text = `${letter.repeat(3_000_000 / letter.length)} end`;
      const encoded = encodedBy(() => {
        assert.equal(tokenizer.countUpTo(text, 1000), undefined);
        assert.ok(tokenizer.count(tokenizer.truncate(text, 1000)) > 900);
      });
      assert.ok(encoded < 1_000_000, `${letter}: ${encoded}`);
    }
  });

  test('cuts a text to a limit of tokens, at a code point', () => {
    fc.assert(
      fc.property(texts, fc.nat(60), (text, limit) => {
        const prefix = tokenizer.truncate(text, limit);
        assert.ok(text.startsWith(prefix));
        assert.ok(tokenizer.count(prefix) <= limit);
        const last = prefix.charCodeAt(prefix.length - 1);
        const next = text.charCodeAt(prefix.length);
        assert.ok(!(last >= 0xd800 && last <= 0xdbff && next >= 0xdc00 && next <= 0xdfff));
      }),
      { numRuns: 150 * effort },
    );
  });

  test.run();
}
