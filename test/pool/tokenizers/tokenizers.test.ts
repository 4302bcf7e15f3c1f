import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { Tokenizer } from '../../../pool/tokenizers/index.js';
import { corpus, countParts, names, referenceOf, tokenizerOf } from './at-tokenizer.js';

for (const name of names) {
  const test = suite(name);
  let tokenizer: Tokenizer;
  let reference: (text: string) => number[];

  test.before(async () => {
    tokenizer = await tokenizerOf(name);
    reference = referenceOf(name);
  });

  test('gives the ids of the reference library over the corpus', () => {
    for (const text of corpus)
      assert.deepEqual(tokenizer.encode(text), reference(text), JSON.stringify(text));
  });

  test('counts the same when the bytes of its UTF-8 were split', () => {
    const text = corpus.join('\n');
    const decoder = new TextDecoder();
    const bytes = new TextEncoder().encode(text);
    const parts = [...bytes].map((byte) => decoder.decode(Uint8Array.of(byte), { stream: true }));
    assert.equal(countParts(tokenizer, parts), tokenizer.count(text));
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

  test.run();
}
