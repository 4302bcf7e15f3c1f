import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { openWire } from '../../pool/wire/open-wire.js';
import type { Delta } from '../../pool/wire/wire.js';
import { effort, seed } from '../fuzz/effort.js';

const test = suite('wire');

/** Messages as servers send them, and some that look like them and are not. */
const text = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom('a', 'content', 'x"y', 'back\\\\', '', 'another text', 'ü😀', '\n', '0'),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
);
const message = fc.oneof(
  ...[
    (content: string) => ({ id: 'a', choices: [{ index: 0, delta: { content }, finish_reason: null }] }),
    (content: string) => ({
      id: 'a',
      model: 'm',
      choices: [{ index: 0, delta: { role: 'assistant', content } }],
    }),
    (content: string) => ({ choices: [{ index: 0, delta: { content, reasoning: content } }] }),
    (content: string) => ({ choices: [{ index: 0, delta: { reasoning: content } }] }),
    (content: string) => ({ id: content, choices: [{ index: 0, delta: { content } }] }),
    (content: string) => ({ choices: [{ index: 0, delta: { content }, finish_reason: content }] }),
    (content: string) => ({ choices: [{ index: 1, delta: { content } }] }),
    (content: string) => ({ choices: [{ delta: { content: [{ text: content }, { text: content }] } }] }),
    (content: string) => ({ model: content, choices: [{ delta: { content } }], usage: null }),
    (content: string) => ({ error: content, choices: [{ delta: { content } }] }),
  ].map((make) => text.map((content) => JSON.stringify(make(content)))),
  text.map((content) => `{"choices":[{"delta":{"content":${JSON.stringify(content)},"content":"a"}}]}`),
);

function deltasOf(messages: readonly string[]): Delta[] {
  const deltas: Delta[] = [];
  const wire = openWire('chat_completions', 4_194_304, (delta) => deltas.push(delta));
  for (const data of messages) wire.push(Buffer.from(`data: ${data}\n\n`));
  return deltas;
}

const chunk = (content: string) => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}`;

test('content is the same for every split of the bytes, with LF, with CRLF and with CR', () => {
  const parts = ['héllo ', '世界', '😀', '\n\n', 'data: x'];
  for (const newline of ['\n', '\r\n', '\r']) {
    const stream = [': comment', ...parts.map(chunk), 'data: [DONE]']
      .map((line) => line + newline + newline)
      .join('');
    const bytes = Buffer.from(stream);
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { maxLength: 20 }), (cuts) => {
        const { content, wire } = feed(bytes, cuts);
        assert.equal(content, parts.join(''));
        assert.ok(wire.done);
      }),
      { numRuns: 200 },
    );
  }
});

test('the bytes of an event that is not complete are unread, those of a complete one are not', () => {
  for (const newline of ['\n', '\r\n', '\r']) {
    const begun = `${chunk('b')}${newline}`;
    const bytes = Buffer.from(`${chunk('a')}${newline}${newline}${begun}`);
    for (let cut = 1; cut < bytes.length; cut++) {
      const { wire, content } = feed(bytes, [cut]);
      assert.equal(content, 'a');
      assert.equal(wire.unread, Buffer.byteLength(begun), `cut at ${cut}`);
    }
  }
});

test('a message means the same, whatever came before it in its stream', () => {
  const alone = (data: string) => deltasOf([data])[0];
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 30 }), (messages) => {
      assert.deepEqual(deltasOf(messages), messages.map(alone));
    }),
    { numRuns: 2000 * effort, seed },
  );
});

test('messages mean the same when they come together, or cut anywhere', () => {
  const joined = (deltas: readonly Delta[]) =>
    Object.assign({}, ...deltas, { content: deltas.map(({ content }) => content ?? '').join('') });
  const prefix = fc.constantFrom('data: ', 'data:');
  fc.assert(
    fc.property(
      fc.array(message, { minLength: 1, maxLength: 30 }),
      prefix,
      fc.array(fc.nat(3000), { maxLength: 6 }),
      (messages, data, cuts) => {
        const deltas: Delta[] = [];
        const wire = openWire('chat_completions', 4_194_304, (delta) => deltas.push(delta));
        const bytes = Buffer.from(messages.map((each) => `${data}${each}\n\n`).join(''));
        const ends = [...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
        ends.forEach((end, i) => {
          wire.push(bytes.subarray(ends[i - 1] ?? 0, end));
        });
        assert.deepEqual(joined(deltas), joined(deltasOf(messages)));
        assert.equal(wire.unread, 0);
      },
    ),
    { numRuns: 2000 * effort, seed },
  );
});

test('an error object in the stream is an error, and one of the caller is not retried', () => {
  const deltas: Delta[] = [];
  const wire = openWire('chat_completions', 4_194_304, (delta) => deltas.push(delta));
  wire.push(Buffer.from('data: {"error":{"message":"boom","code":500}}\n\n'));
  wire.push(Buffer.from('data: {"error":{"message":"bad","type":"invalid_request_error"}}\n\n'));
  assert.deepEqual(
    deltas.map(({ error }) => error),
    [
      { detail: 'boom', retryable: true },
      { detail: 'bad', retryable: false },
    ],
  );
});

test('an event that is not JSON is a fault of the stream', () => {
  const { wire } = feed(Buffer.from('data: {oops\n\n'), []);
  assert.ok(wire.fault);
});

/** The fault of a body that goes on until there is one, and how many bytes that took. */
function faultOf(begin: string, more: string, mostBytes: number) {
  const wire = openWire('chat_completions', 262_144, () => {});
  wire.push(Buffer.from(begin));
  const part = Buffer.from(more.repeat(Math.ceil(10_000 / more.length)));
  let bytes = 0;
  while (wire.fault === undefined && bytes < mostBytes) {
    wire.push(part);
    bytes += part.length;
  }
  return { fault: wire.fault, bytes };
}

test('a message without an end is a fault once it is larger than any that could be read', () => {
  for (const [begin, more] of [
    ['{"choices":[{"message":{"content":"', 'x'],
    ['{"choices":[],"z":[', '[],'],
    ['data: {"choices":[{"delta":{"content":"', 'x'],
    ['id: ', 'x'],
  ] as const) {
    const { fault, bytes } = faultOf(begin, more, 4_000_000);
    assert.equal(fault, 'a message of the answer is larger than 1048576 bytes', begin);
    assert.ok(bytes <= 1_048_576 + 10_003, String(bytes));
  }
});

test('an event of very many lines is a fault, whatever ends the lines', () => {
  for (const newline of ['\n', '\r', '\r\n']) {
    const { fault } = faultOf('data: x', `${newline}data:`, 1_000_000);
    assert.equal(fault, 'an event of the stream has more than 100000 lines');
  }
});

test('a stream of lines that no such stream has is a fault before all of them are read', () => {
  for (const line of ['x\n\n', 'x\n', 'retry: soon\n', 'x-field: 1\n\n']) {
    const { fault, bytes } = faultOf('data: {"choices":[]}\n\n', line, 2_000_000);
    assert.equal(fault, 'more than 10000 lines of the stream are no server-sent events');
    assert.ok(bytes <= 10_000 * line.length + 20_000, String(bytes));
  }
});

test('content that is nested without end is no content, and usage beyond all reason is none', () => {
  const nested = `${'['.repeat(100_000)}"a"${']'.repeat(100_000)}`;
  const deltas = deltasOf([`{"choices":[{"delta":{"content":${nested},"reasoning":${nested}}}]}`]);
  assert.deepEqual(deltas, [{}]);
  const tokens = { prompt_tokens: 1, completion_tokens: Number.MAX_SAFE_INTEGER };
  assert.deepEqual(deltasOf([JSON.stringify({ choices: [], usage: tokens })]), [{}]);
});

test('a document of very many values is none, and a long text is no such', () => {
  const read = (fields: object) => {
    const deltas: Delta[] = [];
    const wire = openWire('chat_completions', 262_144, (delta) => deltas.push(delta));
    wire.push(Buffer.from(JSON.stringify({ choices: [{ message: { content: 'a' } }], ...fields })));
    wire.end();
    return { fault: wire.fault, contents: deltas.map(({ content }) => content) };
  };
  const many = { fault: 'the body is not a JSON object', contents: [] };
  assert.deepEqual(read({ z: new Array(90_000).fill([]) }), many);
  assert.deepEqual(read({ z: new Array(60_000).fill('a,b') }), { fault: undefined, contents: ['a'] });
  assert.deepEqual(read({ z: '[],"\\'.repeat(100_000) }), { fault: undefined, contents: ['a'] });
});

test('a last event without its blank line is read at the end', () => {
  const { content } = feed(Buffer.from(`${chunk('a')}\n\n${chunk('b')}`), [], true);
  assert.equal(content, 'ab');
});

test('reasoning is kept out of the content, usage of the last chunk is read', () => {
  const deltas: Delta[] = [];
  const wire = openWire('chat_completions', 4_194_304, (delta) => deltas.push(delta));
  wire.push(Buffer.from('data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}\n\n'));
  wire.push(Buffer.from('data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\n'));
  assert.deepEqual(deltas, [{ reasoning: 'hm' }, { usage: { prompt: 3, completion: 5 } }]);
});

test('a whole answer is read as a document', () => {
  const deltas: Delta[] = [];
  const wire = openWire('generate', 4_194_304, (delta) => deltas.push(delta));
  wire.push(
    Buffer.from('{"content":"x","tokens_input":1,"tokens_output":2,"finish_reason":"stop","model":"m"}'),
  );
  wire.end();
  assert.ok(wire.done);
  assert.deepEqual(deltas, [
    { content: 'x', finishReason: 'stop', model: 'm', usage: { prompt: 1, completion: 2 } },
  ]);
});

test('the form is told by the first character, whatever blank stands before it', () => {
  for (const lead of ['', '\ufeff', '\n\n  ', '\r\n\ufeff ']) {
    const { content } = feed(Buffer.from(`${lead}${chunk('a')}\n\n`), [1, 2, 3]);
    assert.equal(content, 'a');
    const document = '{"choices":[{"message":{"content":"a"}}]}';
    const { wire, content: whole } = feed(Buffer.from(lead + document), [1, 2, 3], true);
    assert.deepEqual([whole, wire.done], ['a', true]);
  }
});

test('a document that is no answer is a fault', () => {
  for (const document of ['{}', '{"choices":[]}', '{"detail":"Not Found"}', '{"choices":'])
    assert.ok(feed(Buffer.from(document), [], true).wire.fault, document);
});

test('a last event that repeats the whole content of a generate stream is not taken twice', () => {
  let content = '';
  const wire = openWire('generate', 4_194_304, (delta) => {
    content += delta.content ?? '';
  });
  wire.push(Buffer.from('data: {"delta":"a"}\n\ndata: {"delta":"b"}\n\ndata: {"content":"ab"}\n\n'));
  assert.equal(content, 'ab');
});

test('finish reasons of other providers are those of OpenAI', () => {
  for (const [theirs, ours] of [
    ['max_tokens', 'length'],
    ['end_turn', 'stop'],
    ['SAFETY', 'content_filter'],
    ['tool_calls', 'tool_calls'],
  ]) {
    const deltas: Delta[] = [];
    const wire = openWire('chat_completions', 4_194_304, (delta) => deltas.push(delta));
    wire.push(Buffer.from(`data: {"choices":[{"delta":{},"finish_reason":"${theirs}"}]}\n\n`));
    assert.equal(deltas[0]?.finishReason, ours);
  }
});

test.run();

function feed(bytes: Buffer, cuts: readonly number[], end = false) {
  let content = '';
  const wire = openWire('chat_completions', 4_194_304, (delta) => {
    content += delta.content ?? '';
  });
  let from = 0;
  for (const cut of [...cuts.toSorted((a, b) => a - b), bytes.length]) {
    wire.push(bytes.subarray(from, cut));
    from = cut;
  }
  if (end) wire.end();
  return { wire, content };
}
