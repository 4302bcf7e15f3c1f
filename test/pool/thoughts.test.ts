import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import type { Reading, ReadJob } from '../../contracts/threads.js';
import { StreamReader } from '../../pool/stream-reader.js';
import { openTokenizer } from '../../pool/tokenizers/index.js';
import { loadVocabulary } from '../../pool/tokenizers/vocabulary-file.js';
import { effort, seed } from '../fuzz/effort.js';

const test = suite('thoughts in the content');
const tokenizer = openTokenizer('gemma3', loadVocabulary('gemma3'));

const content = 'def f():\n    return 1\n';
const json = JSON.stringify({ status: 'completed', content });
const thoughts = 'Okay, the user wants a function.\n\n```python\ndef f(): ...\n```\n\nThat should do.';

/** What models say whose prompt ends in `<think>`, and what of it is the output. */
const ended: [name: string, answer: string, output: string][] = [
  ['on a line of its own, as DeepSeek-R1 and Qwen3', `${thoughts}\n</think>\n\n${json}`, content],
  ['touching both, as DeepSeek-V3.1', `${thoughts}</think>${json}`, content],
  ['before a fence', `${thoughts}\n</think>\n\n\`\`\`json\n${json}\n\`\`\``, content],
  ['before a fence with code', `${thoughts}\n</think>\n\n\`\`\`python\n${content}\`\`\``, content],
  ['before code', `${thoughts}</think>def f(): pass`, 'def f(): pass'],
  ['at the very beginning', `</think>\n\n${json}`, content],
  ['as gpt-oss that had none', `<|channel|>final<|message|>${json}`, content],
  ['the same, of JSON', `<|channel|>final <|constrain|>json<|message|>${json}`, content],
  ['twice', `${thoughts}\n</think>\n\nOne more thing.\n</think>\n\n${json}`, content],
  ['after thoughts that speak of it', `I must split at "</think>" here.\n</think>\n\n${json}`, content],
  ['after thoughts that speak of <think>', `The user has <think> in his text.\n</think>\n\n${json}`, content],
  ['after a fence that was not closed', `Draft:\n\`\`\`\ndef f()\n</think>\n\n${json}`, content],
  ['after a space', `${thoughts} </think> ${json}`, content],
  ['after an introduction and <think>', `Well.\n<think>\n${thoughts}\n</think>\n\n${json}`, content],
  [
    'which it is in the JSON too',
    `${thoughts}\n</think>\n${JSON.stringify({ content: 'a</think>b' })}`,
    'a</think>b',
  ],
];
for (const [name, answer, output] of ended)
  test(`thoughts end: ${name}`, () => {
    assert.equal(contentOf(read([answer]).reading), output);
  });

/** Outputs in which the tag is a text like any other. */
const spoken: [name: string, answer: string, output?: string][] = [
  [
    'in the JSON that was asked for',
    JSON.stringify({ content: 'a\n</think>\n\n{"content": "b"}' }),
    'a\n</think>\n\n{"content": "b"}',
  ],
  ['after the JSON', `${json}\n</think>\n\nThat was it.`, content],
  ['in quotes', 'answer = text.split("</think>")[-1]'],
  [
    'in a fence',
    '```python\nx = """\nthoughts\n</think>\n\nanswer"""\n```',
    'x = """\nthoughts\n</think>\n\nanswer"""\n',
  ],
  ['between its tags', '# How it answers\n\n<think>\nHm.\n</think>\n\nHello'],
  [
    'between its tags, before JSON of another kind, in a fence',
    'It says:\n\n```\n<think>\nHm.\n</think>\n\n{"a": 1}\n```\n\nand more.',
    '<think>\nHm.\n</think>\n\n{"a": 1}\n',
  ],
  ['in a sentence', 'def f(): # everything before </think> is dropped\n    pass'],
  ['as an escape', 'PATTERN = r"^.*</think>\\s*"'],
  ['in a template', 'f"{thoughts}</think>{answer}"'],
  ['in a text with escaped line breaks', 'x = "hm\\n</think>\\n\\nanswer"'],
];
for (const [name, answer, output = answer] of spoken)
  test(`it is spoken of: ${name}`, () => {
    const { reading, shown, voided } = read([...answer]);
    assert.equal(contentOf(reading), output);
    assert.equal(voided, false);
    assert.ok(answer.startsWith('{') || shown === answer);
    assert.equal(reading.counted.reasoning, 0);
  });

test('what comes before is reasoning, what comes behind content, as with an opening tag', () => {
  const unopened = read([`${thoughts}\n</think>\n\n${json}`]).reading.counted;
  const opened = read([`<think>${thoughts}\n</think>\n\n${json}`]).reading.counted;
  const alone = read([`\n\n${json}`]).reading.counted;
  assert.equal(unopened.reasoning, tokenizer.count(`${thoughts}\n</think>`));
  assert.equal(opened.reasoning, tokenizer.count(`<think>${thoughts}\n</think>`));
  assert.deepEqual([unopened.content, opened.content], [alone.content, alone.content]);
});

test('thoughts that were shown are void, and what is shown then is the result', () => {
  const { shown, voided } = read([...`${thoughts}\n</think>\n\n${json}`]);
  assert.ok(voided);
  assert.equal(shown, content);
});

test('where JSON was promised, thoughts are waited for, and not shown', () => {
  const { reading, shown } = read([...`${thoughts}\n</think>\n\n${json}`], { structured: true });
  assert.deepEqual([contentOf(reading), shown], [content, content]);
  const prose = read([...'Sure, here it is.'], { structured: true });
  assert.deepEqual([faultOf(prose.reading), prose.shown], ['wrong_shape', '']);
});

test('thoughts and nothing behind them are an empty answer', () => {
  assert.equal(faultOf(read([`${thoughts}\n</think>\n\n`]).reading), 'empty');
  assert.equal(faultOf(read([`${thoughts}\n</think>`]).reading), 'empty');
  assert.equal(faultOf(read([`<think>${thoughts}`], { finishReason: 'length' }).reading), 'cut_off');
});

for (const [open, close] of [
  ['<thinking>', '</thinking>'],
  ['<thought>', '</thought>'],
  ['<reasoning>', '</reasoning>'],
  ['[THINK]', '[/THINK]'],
  ['<seed:think>', '</seed:think>'],
  ['<|channel|>analysis<|message|>', '<|end|><|start|>assistant<|channel|>final<|message|>'],
  [
    '<|channel|>analysis<|message|>',
    '<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>',
  ],
])
  test(`other tags: ${open}`, () => {
    const { reading, shown } = read([...`${open}Hm, {"content": "no"}${close}${json}`]);
    assert.deepEqual([contentOf(reading), shown], [content, content]);
    assert.ok(reading.counted.reasoning > 5);
  });

test('a hundred thousand blocks of thoughts are read', () => {
  for (const block of ['<think></think>', '</think>', 'a</think>\n', '"</think>" ', '</think>{"a" '])
    assert.ok(read([block.repeat(100_000) + json]).reading.end);
});

test('what is shown and counted does not depend on where the answer was cut', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      '</think>',
      '<think>',
      '\n',
      '\n\n',
      ' ',
      '"',
      '```',
      '```json\n',
      '.',
      'a',
      '{',
      '{"',
      'content',
    ),
    fc.constantFrom(json, '": ', '}', '[THINK]', '[/THINK]', '</th', 'ink>', '😀', thoughts),
  );
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 14 }).map((pieces) => pieces.join('')),
      fc.array(fc.nat(400), { maxLength: 12 }),
      fc.boolean(),
      (answer, cuts, structured) => {
        const whole = read([answer], { structured });
        const ends = [...cuts.filter((cut) => cut < answer.length).sort((a, b) => a - b), answer.length];
        const parts = read(
          ends.map((end, i) => answer.slice(ends[i - 1] ?? 0, end)),
          { structured },
        );
        assert.equal(parts.shown, whole.shown);
        const { delta: _, voided: __, ...ofParts } = parts.reading;
        const { delta: ___, voided: ____, ...ofWhole } = whole.reading;
        if (parts.early || whole.early) return;
        assert.deepEqual(ofParts, ofWhole);
      },
    ),
    { numRuns: 3000 * effort, seed },
  );
});

test('a refusal beside the content counts as content', () => {
  const refusal = 'I cannot help with that, whatever I am asked.';
  const reader = new StreamReader(job({ structured: false }), tokenizer);
  const event = { choices: [{ delta: { refusal }, finish_reason: 'stop' }] };
  reader.push(Buffer.from(`data: ${JSON.stringify(event)}\n\n`));
  assert.deepEqual(reader.finish('clean').counted, { content: tokenizer.count(refusal), reasoning: 0 });
});

for (const field of ['reasoning_content', 'refusal']) {
  test(`what a model says beside its output is as long as that may be, and no longer: ${field}`, () => {
    const reader = new StreamReader(job({ structured: false }), tokenizer);
    const event = { choices: [{ delta: { [field]: 'so. '.repeat(256 * 1024) } }] };
    let pushed = 1;
    while (!reader.push(Buffer.from(`data: ${JSON.stringify(event)}\n\n`)) && pushed < 20) pushed++;
    assert.equal(pushed, 10, 'MB');
    const { end } = reader.finish(undefined);
    assert.ok(end.kind === 'judged' && end.verdict.kind === 'invalid', JSON.stringify(end).slice(0, 300));
    assert.equal(end.verdict.fault, 'too_large');
  });
}

test.run();

function job({ structured }: { structured: boolean }): ReadJob {
  return {
    ...{ domain: 'code-general', protocol: 'chat_completions', tokenizer: 'gemma3', structured },
    ...{ maxOutputTokens: 10_000_000, maxOutputBytes: 10_000_000, resume: undefined, port: undefined },
    ...{ chunk: Buffer.alloc(0), ended: 'clean' },
  };
}

function read(
  pieces: readonly string[],
  { structured = false, finishReason = 'stop' } = {},
): { reading: Reading; shown: string; voided: boolean; early: boolean } {
  const reader = new StreamReader(job({ structured }), tokenizer);
  let shown = '';
  let voided = false;
  const take = (part: { voided: boolean; delta: string }) => {
    voided ||= part.voided;
    shown = (part.voided ? '' : shown) + part.delta;
  };
  const events = [
    ...pieces.map((piece) => ({ choices: [{ delta: { content: piece } }] })),
    { choices: [{ delta: {}, finish_reason: finishReason }] },
  ];
  let early = false;
  for (const event of events) {
    early = reader.push(Buffer.from(`data: ${JSON.stringify(event)}\n\n`));
    if (early) break;
    take(reader.progress());
  }
  const reading = reader.finish(early ? undefined : 'clean');
  take(reading);
  return { reading, shown, voided, early };
}

function contentOf({ end }: Reading): string {
  assert.ok(end.kind === 'judged' && end.verdict.kind === 'valid', JSON.stringify(end).slice(0, 300));
  return (JSON.parse(new TextDecoder().decode(end.verdict.output)) as { content: string }).content;
}

function faultOf({ end }: Reading): string | undefined {
  return end.kind === 'judged' && end.verdict.kind === 'invalid' ? end.verdict.fault : undefined;
}
