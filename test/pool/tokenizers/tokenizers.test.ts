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

  test.run();
}
