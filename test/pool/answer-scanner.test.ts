import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { domains } from '../../domains/registry.js';
import { AnswerScanner } from '../../pool/answer-scanner.js';
import { fieldChecker } from '../../pool/verdict.js';
import { effort } from '../fuzz/effort.js';

const test = suite('answer scanner');

test('the visible result of a JSON answer is its content, whatever the split', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 7 })),
      (content, sizes) => {
        const text = JSON.stringify({ status: 'completed', content, summary: 'a "b" {' });
        assert.equal(shown(text, sizes), content);
      },
    ),
    { numRuns: 500 * effort },
  );
});

test('escapes that are cut in two are shown whole', () => {
  const text = '{"content":"a\\u00e9\\ud83d\\ude00\\\\n\\n\\"b"}';
  assert.equal(shown(text, ones()), 'aé😀\\n\n"b');
});

test('free text is shown as it is', () => {
  assert.equal(shown('def f():\n  return {"a": 1}', ones()), 'def f():\n  return {"a": 1}');
});

test('a brace that begins code and not JSON is free text', () => {
  assert.equal(scan('{ int x = 1; }').mode, 'text');
});

test('a JSON object in a fence is read as JSON', () => {
  const scanner = scan('```json\n{"content": "x"}\n```');
  assert.equal(scanner.mode, 'json');
  assert.equal(scanner.text.slice(scanner.start, scanner.end), '{"content": "x"}');
});

test('reasoning in a think block is not part of the answer', () => {
  assert.equal(shown('<think>{"content": "no"}</think>\n{"content": "yes"}', ones()), 'yes');
});

test('content that is not a text can no longer become valid', () => {
  assert.deepEqual(scan('{"content": 42').dead, [{ path: '/content', message: 'must be of type string' }]);
});

test('a field of the wrong type ends the reading as soon as the field ends', () => {
  const scanner = scan('{"artifacts": {"a": 1}, ');
  assert.equal(scanner.dead?.[0]?.path, '/artifacts');
});

test('text where JSON was promised is not shown', () => {
  const scanner = new AnswerScanner(() => [], true);
  assert.equal(scanner.push('Sure, here') + scanner.finish(), '');
});

test('a field without a colon can no longer become valid', () => {
  assert.ok(scan('{"content" "x"}').dead);
});

test('a part that ends inside a string of another field does not end the object', () => {
  assert.equal(scan('{"summary": "} , {", "content": "x"').end, -1);
});

test.run();

function scan(text: string): AnswerScanner {
  const scanner = new AnswerScanner(fieldChecker(domains.get('code-general')!), false);
  scanner.push(text);
  scanner.finish();
  return scanner;
}

function shown(text: string, sizes: Iterable<number>): string {
  const scanner = new AnswerScanner(() => [], false);
  const lengths = sizes[Symbol.iterator]();
  let result = '';
  for (let at = 0; at < text.length; ) {
    const size = lengths.next().value as number;
    result += scanner.push(text.slice(at, at + size));
    at += size;
  }
  return result + scanner.finish();
}

function* ones(): Iterable<number> {
  for (;;) yield 1;
}
