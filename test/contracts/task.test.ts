import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseTask } from '../../contracts/parse-task.js';
import { taskLimits, taskValidator } from '../../contracts/task.js';
import Type from '../../contracts/typebox.js';
import { compile } from '../../contracts/validator.js';

const least = { task_id: 'task-1', description: 'Do it', domain: 'code-general' };

const pathsOf = (fields: object) => taskValidator.violations({ ...least, ...fields }).map(({ path }) => path);
const isTask = (fields: object) => taskValidator.check({ ...least, ...fields });
const parsed = (text: string) => parseTask(Buffer.from(text));

test('task_id, description and domain are enough, and each is required', () => {
  assert.ok(isTask({}));
  for (const name of ['task_id', 'description', 'domain'] as const) {
    const { [name]: _, ...without } = least;
    assert.equal(taskValidator.violations(without), [{ path: `/${name}`, message: 'is required' }]);
  }
});

test('what is not an object is refused at the root', () => {
  for (const value of [null, [], 'task', 1, true]) {
    assert.equal(
      taskValidator.violations(value).map(({ path }) => path),
      [''],
    );
  }
});

test('everything that is wrong is told in one answer', () => {
  const violations = taskValidator.violations({ task_id: '', description: 1, extra: true });
  const paths = new Set(violations.map(({ path }) => path));
  assert.equal([...paths].sort(), ['/description', '/domain', '/extra', '/task_id']);
});

test('unknown fields are refused by name, in inputs too', () => {
  assert.equal(taskValidator.violations({ ...least, prompt: 'x' }), [
    { path: '/prompt', message: 'is not a known field' },
  ]);
  assert.equal(pathsOf({ inputs: [{ content: '' }, { content: '', mode: 1 }] }), ['/inputs/1/mode']);
});

test('of unknown fields without end, some are told', () => {
  for (const count of [65, 10_000]) {
    const fields = Object.fromEntries(Array.from({ length: count }, (_, at) => [`field${at}`, 1]));
    assert.is(pathsOf(fields).length, 64);
    assert.is(pathsOf({ inputs: [{ content: '', ...fields }] }).length, 64);
  }
});

test('of a list or of fields without end, the beginning alone is looked at', () => {
  const names = Array.from({ length: 100_000 }, (_, at) => `name ${at}`);
  const lists = [{ acceptance_criteria: names }, { constraints: names }];
  const inputs = { inputs: names.map((name) => ({ content: name })) };
  const named = { constraints: Object.fromEntries(names.map((name) => [name, 'x'])) };
  for (const fields of [...lists, inputs, named, Object.fromEntries(names.map((name) => [name, 1]))]) {
    const { value, looks } = watched({ ...fields, ...least });
    assert.not(taskValidator.check(value));
    const paths = taskValidator.violations(value).map(({ path }) => path);
    const [field] = Object.keys(fields);
    assert.ok(paths.includes(`/${field}`), field);
    assert.ok(looks() < 10_000, `${field}: ${looks()}`);
  }
});

test('what is wrong far behind in a list without a limit is found', () => {
  const numbers = compile(Type.Array(Type.Number()));
  const value = [...Array.from({ length: 10_000 }, (_, at) => at), 'x'];
  assert.not(numbers.check(value));
  assert.equal(numbers.violations(value), [{ path: '/10000', message: 'must be of type number' }]);
});

test('the path of a field is a JSON pointer, escaped and bounded', () => {
  assert.equal(pathsOf({ 'a/b~c': 1 }), ['/a~1b~0c']);
  const [path] = pathsOf({ ['x'.repeat(100_000)]: 1 });
  assert.ok(path!.length <= 129);
});

test('__proto__ and its kind are refused as fields, and change no prototype', () => {
  for (const name of ['__proto__', 'constructor', 'prototype']) {
    const body = `{"task_id":"t","description":"d","domain":"code-general","${name}":{"tier":"large"}}`;
    const task = parsed(body);
    assert.is(task.kind, 'invalid', name);
    if (task.kind === 'invalid') assert.is(task.violations[0]?.path, `/${name}`);
  }
  assert.is(({} as { tier?: string }).tier, undefined);
});

test('__proto__ and its kind are refused as names of constraints', () => {
  for (const name of ['__proto__', 'constructor', 'prototype']) {
    const body = `{"task_id":"t","description":"d","domain":"code-general","constraints":{"${name}":"x"}}`;
    assert.is(parsed(body).kind, 'invalid', name);
  }
});

test('ids are safe as a path segment and a key', () => {
  for (const id of ['a', 'task-123', 'A.b_c:d@e', '0', 'x'.repeat(taskLimits.idCharacters)])
    assert.ok(isTask({ task_id: id }), id);
  const bad = ['', '.', '../a', '-a', 'a/b', 'a b', 'a\n', 'ä', 'a\u0000', 'x'.repeat(129)];
  for (const id of bad) {
    assert.ok(pathsOf({ task_id: id }).includes('/task_id'), JSON.stringify(id));
    assert.ok(pathsOf({ project_id: id }).includes('/project_id'), JSON.stringify(id));
  }
});

test('texts are taken up to their limit, and not beyond', () => {
  for (const [field, limit] of [
    ['description', taskLimits.descriptionCharacters],
    ['context', taskLimits.contextCharacters],
  ] as const) {
    assert.ok(isTask({ [field]: 'x'.repeat(limit) }), field);
    assert.equal(taskValidator.violations({ ...least, [field]: 'x'.repeat(limit + 1) }), [
      { path: `/${field}`, message: `must have at most ${limit} characters` },
    ]);
  }
  const content = 'x'.repeat(taskLimits.inputContentCharacters + 1);
  assert.equal(pathsOf({ inputs: [{ content }] }), ['/inputs/0/content']);
});

test('a blank description is refused, an empty context is not', () => {
  assert.equal(pathsOf({ description: ' \n\t' }), ['/description']);
  assert.ok(isTask({ context: '' }));
});

test('a blank context is none', () => {
  for (const context of ['', ' \n\t']) {
    const task = parsed(JSON.stringify({ ...least, context }));
    assert.ok(task.kind === 'task');
    assert.is(task.context, undefined);
  }
});

test('lists are bounded, in number and in each item', () => {
  const items = (count: number) => Array.from({ length: count }, () => 'x');
  assert.ok(isTask({ acceptance_criteria: items(taskLimits.listItems) }));
  assert.equal(pathsOf({ acceptance_criteria: items(taskLimits.listItems + 1) }), ['/acceptance_criteria']);
  assert.equal(pathsOf({ acceptance_criteria: ['x', ''] }), ['/acceptance_criteria/1']);
  const long = 'x'.repeat(taskLimits.listItemCharacters + 1);
  assert.equal(pathsOf({ acceptance_criteria: [long] }), ['/acceptance_criteria/0']);
  assert.ok(isTask({ inputs: Array.from({ length: 64 }, () => ({ content: '' })) }));
  assert.equal(pathsOf({ inputs: Array.from({ length: 65 }, () => ({ content: '' })) }), ['/inputs']);
});

test('constraints are a list of texts, or names with values', () => {
  const good = [[], ['x'], {}, { mcu: 'STM32F103', ram_bytes: 20480, rtos: false, standards: ['MISRA C'] }];
  for (const constraints of good) assert.ok(isTask({ constraints }), JSON.stringify(constraints));
  const bad = [null, 'x', 1, [1], [''], { a: null }, { a: {} }, { a: [1] }, { '': 'x' }, { 'a/b': 'x' }];
  for (const constraints of bad) {
    const paths = pathsOf({ constraints });
    assert.ok(paths.length > 0, JSON.stringify(constraints));
    assert.ok(
      paths.every((path) => path.startsWith('/constraints')),
      `${JSON.stringify(constraints)}: ${paths}`,
    );
  }
  const many = Object.fromEntries(Array.from({ length: taskLimits.listItems + 1 }, (_, n) => [`n${n}`, 1]));
  assert.not.ok(isTask({ constraints: many }));
});

test('max_output_tokens is a whole number within its limits', () => {
  for (const tokens of [1, taskLimits.outputTokens]) assert.ok(isTask({ max_output_tokens: tokens }));
  for (const tokens of [0, -1, 1.5, '10', null, taskLimits.outputTokens + 1])
    assert.equal([...new Set(pathsOf({ max_output_tokens: tokens }))], ['/max_output_tokens']);
});

test('context_mode is one of its three values, and the message names them', () => {
  for (const mode of ['provided', 'retrieved', 'both']) assert.ok(isTask({ context_mode: mode }));
  assert.equal(taskValidator.violations({ ...least, context_mode: 'none' }), [
    { path: '/context_mode', message: 'must be one of provided, retrieved, both' },
  ]);
});

test('nothing is converted: a number is no text, a text no number, null no absence', () => {
  assert.equal(pathsOf({ task_id: 1 }), ['/task_id']);
  assert.equal(pathsOf({ context: null }), ['/context']);
  assert.equal(pathsOf({ inputs: { content: '' } }), ['/inputs']);
});

test('violations tell nothing of the content', () => {
  const secret = 'hunter2 hunter2';
  const violations = taskValidator.violations({
    ...least,
    task_id: secret,
    context: [secret],
    context_mode: secret,
    constraints: { a: { b: secret } },
  });
  assert.ok(violations.length >= 4);
  assert.not.match(JSON.stringify(violations), /hunter2/);
});

test('a body that is no JSON, or no UTF-8, is malformed and not repeated', () => {
  assert.equal(parsed(''), { kind: 'malformed', detail: 'the body is empty' });
  assert.equal(parsed('{"task_id": hunter2'), { kind: 'malformed', detail: 'the body is not valid JSON' });
  assert.equal(parseTask(Uint8Array.of(0x22, 0xff, 0x22)), {
    kind: 'malformed',
    detail: 'the body is not valid UTF-8',
  });
});

test('the hash of a request does not depend on the order of its keys, only on its content', () => {
  const hash = (value: object) => {
    const task = parsed(JSON.stringify(value));
    return task.kind === 'task' ? task.requestHash : assert.unreachable(task.kind);
  };
  const { task_id, description, domain } = least;
  assert.is(hash({ domain, description, task_id }), hash(least));
  assert.is.not(hash({ ...least, description: 'Do that' }), hash(least));
  const inputs = [
    { content: 'a', path: 'a.txt' },
    { content: 'b', path: 'b.txt' },
  ];
  const constraints = { hardware: ['ESP32'], standards: [] };
  const nested = hash({ ...least, inputs, constraints });
  const turned = inputs.map(({ content, path }) => ({ path, content }));
  const { hardware, standards } = constraints;
  assert.is(hash({ constraints: { standards, hardware }, inputs: turned, ...least }), nested);
  const others = [
    least,
    { ...least, inputs },
    { ...least, constraints },
    { ...least, constraints, inputs: inputs.toReversed() },
    { ...least, constraints, inputs: inputs.slice(1) },
    { ...least, inputs, constraints: { ...constraints, hardware: ['STM32'] } },
  ].map(hash);
  assert.is(new Set([nested, ...others]).size, others.length + 1);
});

test('of a name that stands twice in an object, the last one counts', () => {
  const read = parsed(JSON.stringify(least).replace('{', '{"description": "the first", '));
  assert.is(read.kind === 'task' && read.task.description, least.description);
});

test('a whole surrogate pair is a character, escaped or not', () => {
  for (const text of ['"\\ud83d\\ude00"', '"😀"']) {
    const read = parsed(JSON.stringify(least).replace('"Do it"', text));
    assert.is(read.kind === 'task' && read.task.description, '😀');
  }
});

test.run();

/** A value, and how often something in it was looked up. */
function watched(value: object): { value: object; looks: () => number } {
  let looks = 0;
  const watch = (part: unknown): unknown => {
    if (typeof part !== 'object' || part === null) return part;
    const get = (of: object, name: string | symbol) => {
      if (typeof name === 'string') looks++;
      return watch(Reflect.get(of, name));
    };
    return new Proxy(part, { get });
  };
  return { value: watch(value) as object, looks: () => looks };
}
