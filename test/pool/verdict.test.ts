import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { Verdict } from '../../contracts/threads.js';
import { domains } from '../../domains/registry.js';
import { AnswerScanner } from '../../pool/answer-scanner.js';
import { parseLenient } from '../../pool/lenient-json.js';
import { fieldChecker, judge } from '../../pool/verdict.js';

const test = suite('verdict');

interface Output {
  readonly content: string;
  readonly artifacts: readonly {
    readonly language: string;
    readonly path: string;
    readonly content: string;
  }[];
}

test('the object that was asked for is valid', () => {
  assert.deepEqual(outputOf(verdictOn('{"status":"completed","content":"x = 1"}')), { content: 'x = 1' });
});

test('a comma too many is corrected and noted', () => {
  const verdict = verdictOn('{"content":"x",}');
  assert.deepEqual(outputOf(verdict), { content: 'x' });
  assert.equal(notesOf(verdict)[0], 'json_corrected');
});

test('half of a surrogate pair is replaced and noted, a pair and an escaped backslash are kept', () => {
  const verdict = verdictOn(String.raw`{"content":"\ud83d \uDE00 \ud83d\ud83d\ude00 \\ud83d"}`);
  assert.deepEqual(outputOf(verdict), { content: '\ufffd \ufffd \ufffd😀 \\ud83d' });
  assert.deepEqual(notesOf(verdict), ['surrogate_replaced']);
  assert.deepEqual(notesOf(verdictOn(String.raw`{"content":"\ud83d\ude00 \\ud83d"}`)), []);
});

test('a line break inside a text is corrected', () => {
  assert.deepEqual(outputOf(verdictOn('{"content":"a\nb"}')), { content: 'a\nb' });
});

test('a field nobody knows is removed and noted', () => {
  const verdict = verdictOn('{"content":"x","confidence":0.9,"__proto__":{"a":1}}');
  assert.deepEqual(outputOf(verdict), { content: 'x' });
  assert.deepEqual(notesOf(verdict), ['field_removed', 'field_removed']);
});

test('one text where a list is asked for becomes a list', () => {
  assert.deepEqual(outputOf(verdictOn('{"content":"x","assumptions":"a"}')), {
    content: 'x',
    assumptions: ['a'],
  });
});

test('a leading ./ is taken off a path, a way out of the folder is not accepted', () => {
  const at = (path: string) =>
    verdictOn(
      JSON.stringify({ content: 'x', artifacts: [{ type: 'code', language: 'c', path, content: 'y' }] }),
    );
  assert.equal(
    (outputOf(at('./src/a.c')) as { artifacts: { path: string }[] }).artifacts[0]!.path,
    'src/a.c',
  );
  assert.equal(at('../a.c').kind, 'invalid');
  assert.equal(at('/etc/passwd').kind, 'invalid');
  for (const path of ['C:/x.c', 'C:\\x.c']) assert.equal(at(path).kind, 'invalid', path);
});

test('an object of another shape is invalid and says where', () => {
  const verdict = verdictOn('{"foo": 1}');
  assert.ok(verdict.kind === 'invalid' && verdict.fault === 'wrong_shape');
  assert.deepEqual(verdict.violations, [{ path: '/content', message: 'is required' }]);
});

test('code in a fence loses the chatter around it', () => {
  const verdict = verdictOn('Sure! Here it is:\n\n```python\nx = 1\n```\nHope this helps!');
  assert.deepEqual(outputOf(verdict), { content: 'x = 1\n' });
  assert.deepEqual(notesOf(verdict), ['chatter_removed']);
});

test('fences that name paths are files', () => {
  const verdict = verdictOn('```python src/a.py\nx = 1\n```\n\n```toml path=pyproject.toml\n[a]\n```');
  const output = outputOf(verdict) as { artifacts: { path: string; language: string }[] };
  assert.deepEqual(
    output.artifacts.map(({ path, language }) => [language, path]),
    [
      ['python', 'src/a.py'],
      ['toml', 'pyproject.toml'],
    ],
  );
});

test('a fence that is indented, as in a list, loses its indentation, and a deeper one in it does not end it', () => {
  const code = 'def f():\n    return 1\n';
  for (const indent of ['', '  ', '   ', '      ']) {
    const fence = `\`\`\`python src/a.py\n${code}\`\`\``.replace(/^(?=.)/gm, indent);
    const { content, artifacts } = outputOf(verdictOn(`1. Create the file:\n\n${fence}\n`)) as Output;
    assert.deepEqual([content, artifacts[0]!.content], [code, code], JSON.stringify(indent));
  }
  const documented = 'def f():\n    """\n    - see\n        ```\n        x\n        ```\n    """\n';
  assert.equal((outputOf(verdictOn(`\`\`\`python\n${documented}\`\`\`\n`)) as Output).content, documented);
  const program = 'def f():\n    x = """\n    ```\n    a\n    ```\n    """';
  assert.equal((outputOf(verdictOn(program)) as Output).content, program);
});

test('a fence names a file by any name that files have, and by no attribute', () => {
  const fileOf = (info: string) => {
    const [file] = (outputOf(verdictOn(`\`\`\`${info}\nx\n\`\`\`\n`)) as Output).artifacts ?? [];
    return file && [file.language, file.path];
  };
  for (const path of [
    'Dockerfile',
    'Makefile',
    'LICENSE',
    '.gitignore',
    '.env',
    'app/[id]/page.tsx',
    'src/routes/+page.svelte',
    'src/$lib/a.js',
    'app/(auth)/page.tsx',
    'src/é.py',
    'src/bin/tool',
  ])
    assert.deepEqual(fileOf(`text ${path}`), ['text', path]);
  assert.deepEqual(fileOf('python "my file.py"'), ['python', 'my file.py']);
  assert.deepEqual(fileOf('python src\\a.py'), ['python', 'src/a.py']);
  assert.deepEqual(fileOf('python:src/a.py'), ['python', 'src/a.py']);
  assert.deepEqual(fileOf('{.python filename=src/a.py}'), ['python', 'src/a.py']);
  assert.deepEqual(fileOf('python {.python filename=src/a.py}'), ['python', 'src/a.py']);
  assert.deepEqual(fileOf('python title="src/a b.py"'), ['python', 'src/a b.py']);
  for (const info of [
    'python',
    'python linenums',
    'js {1,3-5}',
    'python {linenos=true}',
    'c++',
    'text "what it prints"',
    'text e.g.',
    'text **src/a.py**',
  ])
    assert.equal(fileOf(info), undefined, info);
});

test('the object that was asked for, but not as JSON, is of the wrong shape and no result', () => {
  for (const said of [
    "{'status': 'completed', 'content': 'x = 1'}",
    "```json\n{'status': 'completed', 'content': 'x = 1'}\n```",
    "{status: 'completed', content: 'x'}",
    '{\n  // what you asked for\n  "status": "completed", "content": "x"}',
    '{ /* here */ "content": "x"}',
    '[{"status":"completed","content":"x"}]',
    '```json\n{\\"status\\": \\"completed\\", \\"content\\": \\"x\\"}\n```',
    JSON.stringify('{"status": "completed", "content": "x"}'),
    '\u200b{"status":"completed","content":"x"}',
  ])
    for (const domain of ['code-general', 'documentation']) {
      const verdict = verdictOn(said, domain);
      assert.ok(verdict.kind === 'invalid' && verdict.fault === 'wrong_shape', said);
    }
  for (const said of [
    "```js\nconst a = {status: 'completed', content: 'x'};\n```",
    "{status: 'on', level: 3}",
  ])
    assert.equal(verdictOn(said).kind, 'valid', said);
});

test('Markdown in a fence may have fences of its own, where that comes out even', () => {
  const readme = '# Title\n\n```bash\nnpm i\n```\n\nMore.\n\n```js\nx()\n```\n';
  const fenced = `\`\`\`markdown\n${readme}\`\`\``;
  assert.deepEqual(outputOf(verdictOn(fenced, 'documentation')), { content: readme });
  const file = verdictOn(fenced.replace('markdown', 'markdown README.md'));
  assert.deepEqual(outputOf(file), {
    content: readme,
    artifacts: [{ type: 'code', language: 'markdown', path: 'README.md', content: readme }],
  });
  // By CommonMark the first closing line ends it.
  const odd = '```md\n```js\n```\n\n```js\nx()\n```';
  assert.deepEqual(outputOf(verdictOn(odd)), { content: odd });
});

test('what is left out around several fences, and behind an object, is noted', () => {
  const fences = '```js\na\n```\n\nand\n\n```js\nb\n```';
  assert.deepEqual(notesOf(verdictOn(fences)), []);
  const around = verdictOn(`Hello.\n\n${fences}\n\nBye.`);
  assert.deepEqual([outputOf(around), notesOf(around)], [{ content: fences }, ['chatter_removed']]);
  for (const [behind, notes] of [
    ['\n', []],
    ['\n```\n', []],
    ['<|return|>', []],
    ['\n```<|im_end|>', []],
    ['\n\nHope this helps!', ['chatter_removed']],
    ['\n{"content": "y"}', ['chatter_removed']],
    [`${' '.repeat(1_000_000)}x`, ['chatter_removed']],
  ] as const) {
    const verdict = verdictOn(`{"content": "x"}${behind}`);
    assert.deepEqual([outputOf(verdict), notesOf(verdict)], [{ content: 'x' }, notes], behind.trim());
  }
});

test('a status that is no text is of the wrong shape, and none at all is not', () => {
  for (const status of ['5', 'true', '["refused"]', '{"a": 1}', '""'])
    assert.equal(verdictOn(`{"status": ${status}, "content": "x"}`).kind, 'invalid', status);
  assert.deepEqual(outputOf(verdictOn('{"status": null, "content": "x"}')), { content: 'x' });
});

test('a program without a fence keeps the fences of its docstrings, and what its first line is indented by', () => {
  const program = 'def f(n):\n    """Doubles.\n\n```\n>>> f(1)\n2\n```\n    """\n    return 2 * n';
  assert.deepEqual(outputOf(verdictOn(program)), { content: program });
  const method = '    def f(self):\n        return 1';
  assert.deepEqual(outputOf(verdictOn(`\n \n${method}\n\n`)), { content: method });
});

test('plain text is the content', () => {
  assert.deepEqual(outputOf(verdictOn('def fibonacci(n): ...')), { content: 'def fibonacci(n): ...' });
});

test('the object is found behind a line of chatter', () => {
  assert.deepEqual(outputOf(verdictOn('Here is the JSON:\n{"content": "x"}\nBye')), { content: 'x' });
});

const isWrong = (text: string, domain: string, path: string, message: RegExp) => {
  const verdict = verdictOn(text, domain);
  assert.ok(verdict.kind === 'invalid' && verdict.fault === 'wrong_shape', `${domain}: ${text}`);
  assert.equal(verdict.violations[0]!.path, path);
  assert.match(verdict.violations[0]!.message, message);
};

test('what is wrong with an object behind chatter is wrong with the answer, and the object no result', () => {
  for (const domain of ['code-general', 'ui-design', 'documentation']) {
    for (const lead of ['Here is the JSON:\n', 'Sure!\n\n```json\n', 'Here is the JSON: ']) {
      const tail = lead.includes('`') ? '\n```' : '';
      const is = (json: string, path: string, message: RegExp) =>
        isWrong(`${lead}${json}${tail}`, domain, path, message);
      is('{"status":"completed","content":"print("hi")"}', '/content', /must be followed by a comma/);
      is('{"status":"completed","content":["x"]}', '/content', /must be of type string/);
      is('{"status":"completed","content":"x","summary":{"a":1}}', '/summary', /must be/);
      is('{"status":"completed","content":"x', '', /is not complete/);
      is('{"status":"completed","content":"a ```\n```\n b","summary":x}', '/summary', /must be a JSON value/);
      is('{"status":"refused","reason":"too_hard","message":"no"}', '/reason', /must be one of/);
      is('{"status":"needs_clarification","questions":[]}', '/questions', /at least 1/);
    }
  }
});

test('a refusal behind chatter is one', () => {
  const said = '{"status":"refused","reason":"complexity","message":"no"}';
  for (const domain of ['code-general', 'documentation']) {
    for (const text of [
      `I have looked at it:\n\n\`\`\`json\n${said}\n\`\`\``,
      `Here is my answer: ${said}`,
    ]) {
      assert.equal(verdictOn(text, domain).kind, 'refused', text);
    }
  }
});

test('the object is found however much is said around it', () => {
  const chatter = 'It took a while to think this over. '.repeat(40);
  for (const text of [
    `Sure:\n\`\`\`json\n{"content":"x = 1"}\n\`\`\`\n${chatter}`,
    `${chatter}\n\`\`\`\n{"content":"x = 1"}\n\`\`\``,
  ]) {
    assert.deepEqual(outputOf(verdictOn(text)), { content: 'x = 1' });
  }
  const long = `# Title\n\n${'All of it. '.repeat(300)}`;
  const answer = `${chatter}\n\n${JSON.stringify({ status: 'completed', content: long })}`;
  assert.deepEqual(outputOf(verdictOn(answer, 'documentation')), { content: long });
});

test('data that has a status, and a document that shows such an object, are results', () => {
  const data = '{"status":"ok","id":1}\n';
  assert.deepEqual(outputOf(verdictOn(`Here is an example:\n\`\`\`json\n${data}\`\`\``)), { content: data });
  const order = '{"status":"completed","order":7}\n';
  assert.deepEqual(outputOf(verdictOn(`As asked:\n\`\`\`json\n${order}\`\`\``)), { content: order });
  const reply = '```json\n{"status":"completed","content":5}\n```';
  for (const text of [
    `# API\n\nThe answer:\n\n${reply}`,
    'A message is {"content": "text", "id": 7}',
    'The format of a message: {"content": "text", "id": 7}',
    'The service answers:\n\n```json\n{"content": "hello"}\n```\n\nNothing else.',
    `The service answers.\n\nLike this:\n\n${reply}\n\nOr not.`,
    `# API\n\n${'It does more. '.repeat(100)}\n\n${reply.replace('5', '"x"')}`,
  ]) {
    assert.deepEqual(outputOf(verdictOn(text, 'documentation')), { content: text });
  }
});

test('an object inside of a program, or beside one, is not taken for the answer', () => {
  const more = Array.from({ length: 200 }, (_, i) => `line_${i} = ${i}`).join('\n');
  const programs = [
    `docs = [\n    {"content": "Paris is the capital", "id": 1},\n]\n${more}\n`,
    `requests.post(URL, json=\n    {"content": message}\n)\n`,
    `json.loads("""\n{"status": "refused", "reason": "complexity", "message": "no"}\n""")\n${more}\n`,
    `docs = [\n    {"content": "Paris"},\n]\n`,
  ];
  for (const program of programs) {
    const fenced = `Here is the code:\n\`\`\`python\n${program}\`\`\``;
    assert.deepEqual(outputOf(verdictOn(fenced)), { content: program });
    assert.deepEqual(outputOf(verdictOn(program)), { content: program.trim() });
  }
  for (const example of [
    '{"status":"completed","content":"hello"}',
    '{"status":"completed","content":{"a":1}}',
  ]) {
    const both = `The endpoint answers:\n\`\`\`json\n${example}\n\`\`\`\n\nIts implementation:\n\n\`\`\`python\n${more}\n\`\`\``;
    const { content } = outputOf(verdictOn(both)) as { content: string };
    assert.ok(content.includes(more), content);
  }
});

test('data whose first field is a content is data', () => {
  for (const [data, domain] of [
    ['{"content": ["./src/**/*.html"], "theme": {}}\n', 'ui-design'],
    ['{"content": "hi", "username": "bot"}\n', 'code-general'],
  ] as const)
    assert.deepEqual(outputOf(verdictOn(`As asked:\n\`\`\`json\n${data}\`\`\``, domain)), { content: data });
});

test('a dictionary inside of code is not taken for the answer', () => {
  const code = 'reply = {"content": "x"}\nprint(reply)';
  assert.deepEqual(outputOf(verdictOn(code)), { content: code });
});

test('the first key of YAML is no chatter', () => {
  for (const text of ['ok:\n  retries: 3', 'sure:\n- a\n- b'])
    assert.deepEqual(outputOf(verdictOn(text)), { content: text });
  for (const text of ['Sure:\n\nx = 1', 'Sure:\n    x = 1'])
    assert.deepEqual(outputOf(verdictOn(text)), { content: 'x = 1' });
});

test('prose keeps its fences', () => {
  const text = '# Title\n\n```sh\nls\n```\n\nDone.';
  assert.deepEqual(outputOf(verdictOn(text, 'documentation')), { content: text });
});

test('a document in a fence is taken out of it, and of the chatter around it', () => {
  const document = '# Runbook\n\nStop it.\n';
  const fence = `\`\`\`markdown\n${document}\`\`\``;
  const led = `Below is the runbook you asked for.\n\n${fence}`;
  for (const said of [fence, led, `${fence}\n\nLet me know if you need more.`])
    assert.deepEqual(outputOf(verdictOn(said, 'documentation')), { content: document }, said);
  const text = `The format:\n\n${fence}\n\nIt has two parts.`;
  assert.deepEqual(outputOf(verdictOn(text, 'documentation')), { content: text });
});

test('an answer that the limit cut off is cut off, in JSON and in text', () => {
  for (const text of ['{"content":"abc', 'def f(', '']) {
    const verdict = verdictOn(text, 'code-general', 'length');
    assert.ok(verdict.kind === 'invalid' && verdict.fault === 'cut_off', text);
  }
});

test('an empty answer is empty', () => {
  const verdict = verdictOn('  \n');
  assert.ok(verdict.kind === 'invalid' && verdict.fault === 'empty');
});

test('a refusal keeps its reason and has a recommendation', () => {
  const verdict = verdictOn('{"status":"refused","reason":"out_of_domain","message":"no"}');
  assert.deepEqual(verdict, {
    kind: 'refused',
    reason: 'out_of_domain',
    recommendation: 'needs_domain_specialist',
    message: 'no',
  });
});

test('a long text is read however its JSON has to be mended', () => {
  const long = 'y'.repeat(16 * 1024 * 1024);
  assert.deepEqual(parseLenient(`{"content":"x\n${long}",}`)?.value, { content: `x\n${long}` });
});

test('a refusal without a known reason is of the wrong shape', () => {
  assert.equal(verdictOn('{"status":"refused","reason":"tired"}').kind, 'invalid');
});

test('a refusal in the words of the model is one, not the result', () => {
  for (const said of [
    'I’m sorry, but I can’t help with that.',
    "I'm sorry, but I cannot assist with that request.",
    "I can't help with that.\n",
    'Sorry, I am unable to comply with this request.',
    'I cannot fulfill this request.',
    "I'm sorry, but I cannot fulfil your request.",
    'I am not able to help with that request.',
  ]) {
    for (const domain of ['code-general', 'documentation']) {
      assert.deepEqual(verdictOn(said, domain), {
        kind: 'refused',
        reason: 'declined_by_model',
        recommendation: 'needs_clarification',
        message: said.trim(),
      });
    }
  }
  for (const said of [
    "I'm sorry, but I can't create code that does harm.",
    "I can't create that for you.",
    'I cannot provide code that does harm.',
    'I cannot write a keylogger.',
    'I cannot create malware.',
    'I can’t provide information or guidance on illegal or harmful activities, including keyloggers.',
    'I am programmed to be a safe and helpful AI assistant. Therefore, I cannot fulfill your request to write one.',
    'I understand that you want to test your own network. However, I cannot fulfill this request.',
    "I'm sorry, but as an AI language model, I can't help with that.",
    'I need to decline this request.',
    'I must respectfully decline.',
    "I'm not going to help with this.",
    "**I'm sorry, but I can't help with that.**",
    '"I cannot assist with that."',
  ])
    assert.equal(verdictOn(said).kind, 'refused', said);
});

test('a result that sounds like a refusal, or explains one, is a result', () => {
  for (const [said, domain] of [
    ["I can't help it:\n```js\nexport const a = 1;\n```", 'code-general'],
    ["I'm sorry, but I can't use the library.\n\n```python\nx = 1\n```", 'code-general'],
    ['print("I\'m sorry, but I can\'t help with that.")', 'code-general'],
    ["I'm sorry, but I can't attend the meeting on Monday.", 'documentation'],
    ["I can't help but admire it.", 'documentation'],
    ['I cannot provide the key by mail: ask for it at the desk.', 'documentation'],
    ["I can't believe it works", 'code-general'],
    ['I cannot write to the disk here, so it returns the text:\n\ndef f():\n    return 1', 'code-general'],
    ['# I cannot create files here. However, I cannot help with it.\nx = 1', 'code-general'],
    ['We met. However, I cannot fulfill this request before May.', 'documentation'],
    ['I cannot make it on Monday.', 'documentation'],
    ['{"status":"completed","content":"I\'m sorry, but I can\'t help with that."}', 'documentation'],
  ] as const) {
    assert.equal(verdictOn(said, domain).kind, 'valid', said);
  }
});

test('a question back keeps its questions', () => {
  const verdict = verdictOn('{"status":"needs_clarification","questions":["Which board?"]}');
  assert.ok(verdict.kind === 'needs_clarification');
  assert.deepEqual(verdict.questions, ['Which board?']);
});

test.run();

function verdictOn(text: string, domainName = 'code-general', finishReason = 'stop'): Verdict {
  const domain = domains.get(domainName)!;
  const scanner = new AnswerScanner(fieldChecker(domain), false);
  scanner.push(text);
  scanner.finish();
  return judge(domain, { scanner, finishReason, refusal: undefined, structured: false });
}

function outputOf(verdict: Verdict): unknown {
  assert.equal(verdict.kind, 'valid', JSON.stringify(verdict));
  return JSON.parse(new TextDecoder().decode((verdict as Verdict & { kind: 'valid' }).output));
}

function notesOf(verdict: Verdict): string[] {
  return verdict.kind === 'valid' ? verdict.notes.map(({ code }) => code) : [];
}
