import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { outputs } from '../../bench/simulators/outputs.js';
import { recommendations } from '../../contracts/failures.js';
import { compile } from '../../contracts/validator.js';
import { answerSchema } from '../../domains/answer.js';
import { domainNames, domains } from '../../domains/registry.js';
import { aDomain } from './a-domain.js';

test('the registry knows the five domains by their names', () => {
  assert.equal([...domainNames].sort(), [
    'code-embedded',
    'code-general',
    'code-vision',
    'documentation',
    'ui-design',
  ]);
  for (const [name, domain] of domains) assert.is(domain.name, name);
});

for (const name of domainNames) {
  const domain = aDomain(name);
  const output = compile(domain.output);
  const { status: _, ...full } = outputs[name];

  test(`${name}: content alone is a valid output`, () => {
    assert.equal(output.violations({ content: 'x' }), []);
    assert.equal(domain.rules({ content: 'x' }), []);
  });

  test(`${name}: an output without content, or with blank content, is refused`, () => {
    assert.is(output.violations({ summary: 'x' })[0]?.path, '/content');
    assert.is(output.violations({ content: ' \n' })[0]?.path, '/content');
  });

  test(`${name}: what the simulator answers is valid and without findings`, () => {
    assert.equal(output.violations(full), []);
    assert.equal(domain.rules(full), []);
  });

  test(`${name}: unknown fields are refused, at the top and below`, () => {
    assert.equal(output.violations({ content: 'x', colour: 1 }), [
      { path: '/colour', message: 'is not a known field' },
    ]);
    const artifact = { type: 'code', language: 'c', path: 'a.c', size: 1 };
    assert.is(output.violations({ content: 'x', artifacts: [artifact] })[0]?.path, '/artifacts/0/size');
  });

  test(`${name}: a path that leaves its folder is refused`, () => {
    for (const path of [
      '../a',
      '/etc/passwd',
      'a/../../b',
      'a\\b',
      './a',
      'a\u2028/../../b',
      'a\u2029/../b',
    ]) {
      const violations = output.violations({
        content: 'x',
        artifacts: [{ type: 'code', language: 'c', path }],
      });
      assert.is(violations[0]?.path, '/artifacts/0/path', path);
    }
  });

  test(`${name}: the answer schema takes an output, a refusal and questions`, () => {
    const answer = compile(answerSchema(domain));
    assert.equal(answer.violations(outputs[name]), []);
    assert.equal(
      answer.violations({
        status: 'refused',
        reason: 'complexity',
        recommendation: recommendations[0],
        message: 'x',
      }),
      [],
    );
    assert.equal(answer.violations({ status: 'needs_clarification', questions: ['x?'] }), []);
    assert.is(answer.check({ content: 'x' }), false);
    assert.is(answer.check({ status: 'refused', reason: 'mood' }), false);
  });

  test(`${name}: the answer schema is plain, typed and in the order of the stream`, () => {
    const schema = answerSchema(domain);
    const fields = Object.keys((schema as unknown as { properties: object }).properties);
    assert.equal(fields.slice(0, 2), ['status', 'content']);
    walk(JSON.parse(JSON.stringify(schema)));
  });
}

const wrongTypes: readonly (readonly [string, object])[] = [
  ['code-general', { dependencies: [1] }],
  ['code-general', { tests: ['x'] }],
  ['code-vision', { frame_rate_fps: -1 }],
  ['code-vision', { color_space: 'BGR' }],
  ['code-vision', { capture_failures: [{ failure: 'x' }] }],
  ['code-embedded', { memory: { ram_bytes: 1.5 } }],
  ['code-embedded', { timing: [{ name: 'x', deadline_us: 'soon' }] }],
  ['code-embedded', { shared_state: [{ name: 'x' }] }],
  ['documentation', { sections: [{ heading: 'x', level: 7 }] }],
  ['documentation', { title: 1 }],
  ['ui-design', { accessibility: [{ how: 'x' }] }],
  ['ui-design', { breakpoints: [{ name: 'x', min_width_px: '600px' }] }],
  ['ui-design', { design_tokens: { a: 'b' } }],
];

test('fields of the wrong type are refused', () => {
  for (const [name, fields] of wrongTypes) {
    assert.is(
      compile(aDomain(name).output).check({ content: 'x', ...fields }),
      false,
      JSON.stringify(fields),
    );
  }
});

const keywords = new Set([
  'type',
  'description',
  'enum',
  'required',
  'additionalProperties',
  'items',
  'properties',
]);

function walk(schema: { readonly [keyword: string]: unknown }): void {
  assert.type(schema.type, 'string');
  for (const keyword of Object.keys(schema)) assert.ok(keywords.has(keyword), keyword);
  if (schema.type === 'object') assert.is(schema.additionalProperties, false);
  if (schema.items !== undefined) walk(schema.items as never);
  for (const property of Object.values(schema.properties ?? {})) walk(property as never);
}

test.run();
