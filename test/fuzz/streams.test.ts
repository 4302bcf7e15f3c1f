import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import type { Reading } from '../../contracts/threads.js';
import { compile } from '../../contracts/validator.js';
import { domains } from '../../domains/registry.js';
import { StreamReader } from '../../pool/stream-reader.js';
import { openTokenizer } from '../../pool/tokenizers/index.js';
import { loadVocabulary } from '../../pool/tokenizers/vocabulary-file.js';
import { effort, seed } from './effort.js';

const test = suite(`streams of a gateway, seed ${seed}`);
const tokenizer = openTokenizer('gemma3', loadVocabulary('gemma3'));
const validators = new Map([...domains].map(([name, { output }]) => [name, compile(output)]));

const text = fc.oneof(
  fc.constantFrom(
    '{"status":"completed","content":"a',
    'b"}',
    '"',
    '}',
    '\\',
    '\n',
    '```json\n',
    '<think>',
    '</think>',
  ),
  fc.constantFrom(
    '{"status":"refused","reason":"complexity"}',
    '{"content":',
    '[]',
    'def f(): pass',
    '\u0000',
    '😀',
    ' ',
  ),
  fc.string({ unit: 'binary', maxLength: 12 }),
);
const data = fc.oneof(
  { weight: 8, arbitrary: text.map((content) => ({ choices: [{ index: 0, delta: { content } }] })) },
  text.map((reasoning) => ({ choices: [{ delta: { reasoning } }] })),
  text.map((refusal) => ({ choices: [{ delta: { refusal } }] })),
  fc.constantFrom('stop', 'length', 'content_filter', 'tool_calls').map((finish_reason) => ({
    choices: [{ delta: {}, finish_reason }],
  })),
  fc.constant({ choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } }),
  fc.constant({ error: { message: 'no', code: 500 } }),
  fc.jsonValue(),
);
const line = fc.oneof(
  { weight: 12, arbitrary: data.map((value) => `data: ${JSON.stringify(value)}\n\n`) },
  fc.constantFrom(
    'data: [DONE]\n\n',
    ': comment\n\n',
    'event: error\n',
    'id: 7\n',
    'retry: x\n',
    '\r\n',
    'data:\n',
    'data: {\n\n',
  ),
  fc.string({ unit: 'binary', maxLength: 20 }),
);
const stream = fc.array(line, { maxLength: 25 }).map((lines) => Buffer.from(lines.join('')));

function read(
  bytes: Uint8Array,
  cuts: readonly number[],
  ended: 'clean' | 'broken',
  domain: string,
): Reading {
  const reader = new StreamReader(
    {
      ...{ domain, protocol: 'chat_completions', tokenizer: 'gemma3', structured: false },
      ...{ maxOutputTokens: 10_000, maxOutputBytes: 1_000_000, resume: undefined, port: undefined },
      ...{ chunk: bytes, ended },
    },
    tokenizer,
  );
  let from = 0;
  for (const cut of [...cuts.map((each) => each % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)) {
    if (reader.push(bytes.subarray(from, cut))) return reader.finish(undefined);
    reader.progress();
    from = cut;
  }
  return reader.finish(ended);
}

test('whatever comes, there is a verdict, it does not depend on where the bytes were cut, and what is valid is valid', () => {
  fc.assert(
    fc.property(
      stream,
      fc.array(fc.nat(), { maxLength: 8 }),
      fc.constantFrom('clean' as const, 'broken' as const),
      fc.constantFrom(...domains.keys()),
      (bytes, cuts, ended, domain) => {
        const whole = read(bytes, [], ended, domain);
        const inParts = read(bytes, cuts, ended, domain);
        // Who wants no more may say so earlier when it sees less at a time.
        if (!isEarly(whole) && !isEarly(inParts)) {
          // These two are of the last part alone.
          const { delta: _, voided: __, ...ofWhole } = whole;
          const { delta: ___, voided: ____, ...ofParts } = inParts;
          assert.deepEqual(ofParts, ofWhole);
        }
        for (const { end } of [whole, inParts]) {
          if (end.kind !== 'judged' || end.verdict.kind !== 'valid') continue;
          const output = JSON.parse(Buffer.from(end.verdict.output).toString());
          assert.deepEqual(validators.get(domain)!.violations(output), []);
        }
      },
    ),
    { numRuns: 1500 * effort, seed },
  );
});

test.run();

function isEarly({ end }: Reading): boolean {
  return (
    end.kind === 'error' || (end.kind === 'judged' && end.verdict.kind === 'invalid' && end.verdict.early)
  );
}
