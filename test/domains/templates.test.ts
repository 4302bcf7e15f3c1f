import { readFileSync } from 'node:fs';
import Mustache from 'mustache';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { recommendations, refusalReasons } from '../../contracts/failures.js';
import { compile } from '../../contracts/validator.js';
import { answerSchema } from '../../domains/answer.js';
import { domainNames } from '../../domains/registry.js';
import { aDomain } from './a-domain.js';

const lists: Readonly<Record<string, readonly string[]>> = {
  inputs: ['path', 'language', 'type', 'artifact_id', 'content'],
  acceptance_criteria: ['.'],
  constraints: ['.'],
};
const variables = new Set([
  ...['task_id', 'description', 'domain', 'tier', 'max_output_tokens', 'context', 'project_id'],
  ...['has_acceptance_criteria', 'has_inputs', 'has_constraints', ...Object.keys(lists)],
]);
const blocks = ['context', 'task', 'acceptance_criteria', 'inputs', 'input', 'constraints'];

for (const name of domainNames) {
  const text = readFileSync(`prompts/workers/${name.replaceAll('-', '_')}.md`, 'utf8');
  const [, system = '', user = ''] = text.split(/^<!-- (?:system|user) -->\n/m);

  test(`${name}: the template has a system part and then a user part`, () => {
    assert.equal(text.match(/^<!-- (?:system|user) -->$/gm), ['<!-- system -->', '<!-- user -->']);
    assert.ok(system.length > 1000 && user.length > 100);
  });

  test(`${name}: the template uses known variables only`, () => {
    for (const part of [system, user]) knownIn(Mustache.parse(part) as readonly Token[], variables);
  });

  test(`${name}: the user part opens and closes each block once`, () => {
    for (const block of blocks) {
      assert.is(user.match(new RegExp(`<${block}[ >]`, 'g'))?.length, 1, block);
      assert.is(user.match(new RegExp(`</${block}>`, 'g'))?.length, 1, block);
    }
    assert.is(user.match(/<[a-z_]+[ >]/g)?.length, blocks.length);
  });

  test(`${name}: the system part names every reason, recommendation and field`, () => {
    const offered = refusalReasons.filter((reason) => reason !== 'declined_by_model');
    for (const word of [...offered, ...recommendations]) assert.ok(system.includes(`\`${word}\``), word);
    const { properties } = aDomain(name).output as unknown as { properties: object };
    for (const field of Object.keys(properties)) assert.ok(system.includes(`\`${field}\``), field);
  });

  test(`${name}: the examples are answers by the schema, one of each status, without findings`, () => {
    const examples = system
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line));
    assert.equal(
      examples.map(({ status }) => status),
      ['completed', 'refused', 'needs_clarification'],
    );
    const answer = compile(answerSchema(aDomain(name)));
    for (const example of examples) assert.equal(answer.violations(example), []);
    const { status: _, ...output } = examples[0];
    assert.equal(compile(aDomain(name).output).violations(output), []);
    assert.equal(aDomain(name).rules(output), []);
  });

  test(`${name}: a task with all it may carry is rendered whole`, () => {
    const rendered = render(user, {
      task_id: 't-1',
      description: 'Make <b> & "c" {{d}}',
      context: 'known',
      has_acceptance_criteria: true,
      acceptance_criteria: ['fast', 'small'],
      has_inputs: true,
      inputs: [{ path: 'a.py', language: 'python', type: 'code', artifact_id: 'art-1', content: 'x = 1' }],
      has_constraints: true,
      constraints: ['no network'],
      project_id: 'p-1',
    });
    for (const expected of [
      'Project: p-1\n',
      '<context>\nknown\n</context>\n',
      '<inputs>\n<input path="a.py" language="python" type="code" artifact_id="art-1">\nx = 1\n</input>\n</inputs>\n',
      '<task id="t-1">\nMake <b> & "c" {{d}}\n</task>\n',
      '<acceptance_criteria>\n- fast\n- small\n</acceptance_criteria>\n',
      '<constraints>\n- no network\n</constraints>\n',
    ]) {
      assert.ok(rendered.includes(expected), expected);
    }
  });

  test(`${name}: a bare task leaves no empty blocks`, () => {
    assert.is(
      render(user, { task_id: 't-1', description: 'Make it', context: '', project_id: '' }),
      '<task id="t-1">\nMake it\n</task>\nAnswer with the one JSON object.\n',
    );
    assert.ok(render(system, { max_output_tokens: '4096' }).includes('4096 tokens'));
  });
}

type Token = readonly [kind: string, name: string, start: number, end: number, inner?: readonly Token[]];

function knownIn(tokens: readonly Token[], known: ReadonlySet<string>): void {
  for (const [kind, name, , , inner] of tokens) {
    if (kind === 'text') continue;
    assert.ok(kind === 'name' || kind === '#', `${kind} ${name}`);
    assert.ok(known.has(name), name);
    if (kind === '#') knownIn(inner ?? [], new Set([...known, ...(lists[name] ?? [])]));
  }
}

function render(template: string, view: object): string {
  return Mustache.render(template, view, {}, { escape: (value: unknown) => String(value) });
}

test.run();
