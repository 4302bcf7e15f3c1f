import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { aConfig, errorOf, pathsOf, problemsOf } from './a-config.js';

test('a syntax error is named by line and column, together with what is wrong in the environment', () => {
  assert.equal(pathsOf('server: {port: 1}\nqueues: a: b\n', { SERVICE_PORT: 'x' }), [
    'SERVICE_PORT',
    'line 2, column 9',
  ]);
});

test('a key that stands twice is an error', () => {
  const [problem] = problemsOf('server: {port: 1}\nlog: {level: info}\nserver: {port: 2}\n');
  assert.is(problem?.path, 'line 3, column 1');
  assert.equal(pathsOf('queues:\n  small: {timeout: 1, timeout: 2}\n'), ['line 2, column 23']);
});

test('what was expected says what to do about a key that stands twice, a tab and a second document', () => {
  for (const [text, expected] of [
    ['a: 1\na: 2\n', 'each key once'],
    ['server:\n\tport: 1\n', 'spaces in the indentation'],
    ['a: 1\n---\nb: 1\n', 'one document'],
    ['a: !env HOME', 'YAML 1.2, without tags and aliases'],
  ] as const)
    assert.is(problemsOf(text)[0]?.expected, expected, text);
});

test('no tag is resolved', () => {
  for (const value of [
    '!env HOME',
    '!!js/function "x"',
    '!!binary aGk=',
    '!!set {a}',
    '!!timestamp 2020-01-01',
    '!!str x',
    '!!int "5"',
    '!!map {a: 1}',
    '!!seq [a]',
  ]) {
    assert.equal(pathsOf(`server:\n  host: ${value}\n`), ['line 2, column 9'], value);
  }
});

test('an alias is an error, one to itself too', () => {
  assert.equal(pathsOf('queues:\n  small: &a {timeout: 1}\n  large: *a\n'), ['line 3, column 10']);
  assert.equal(pathsOf('queues: &a\n  small: *a\n'), ['line 2, column 10']);
});

test('a key that is no text is an error that does not show it', () => {
  const error = errorOf(() => aConfig('? [s3cret]\n: 1\n'));
  assert.equal(
    error?.problems.map(({ path }) => path),
    ['line 1, column 3'],
  );
  assert.not.ok(error?.message.includes('s3cret'));
});

test('a merge key is a name as any other', () => {
  assert.equal(pathsOf('server: {<<: {port: 1}}'), ['server["<<"]']);
});

test('a second document is an error', () => {
  assert.is(problemsOf('server: {port: 1}\n---\nserver: {port: 2}\n').length, 1);
});

test('a document that is not a mapping is an error that does not show it', () => {
  for (const text of ['s3cret', '[s3cret]', '5']) {
    const error = errorOf(() => aConfig(text));
    assert.equal(
      error?.problems.map(({ path }) => path),
      ['line 1, column 1'],
    );
    assert.not.ok(error?.message.includes('s3cret'));
  }
});

test('a syntax error does not show the text around it', () => {
  for (const text of [
    'gateway:\n  api_key: s3cret: x\n',
    'gateway: {api_key: "s3cret}\n',
    'api_key: a\ns3cret\n',
    ']s3cret',
    'a: [1] "s3cret"',
    '{a: 1}} s3cret',
    'gateway: {api_key: !s3cret}',
    'api_key: !s3cret x',
    'api_key: "\\Us3cret12"',
    '%s3cret\n',
  ]) {
    const error = errorOf(() => aConfig(text));
    assert.ok(error);
    assert.not.ok(error.message.includes('s3cret'), error.message);
  }
});

test.run();
