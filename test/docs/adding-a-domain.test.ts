import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { transform } from 'esbuild';
import { suite } from 'uvu';
import { compile } from '../../contracts/validator.js';
import type { Domain } from '../../domains/domain.js';

const test = suite('docs/adding-a-domain.md');

test('its example is a domain as the others are', async () => {
  const { name, output, rules } = await theExample();
  assert.equal(name, 'data-query');
  assert.deepEqual(compile(output).violations({ content: 'SELECT 1', dialect: 'SQLite' }), []);
  const found = (content: string, paths: string[] = []) =>
    rules({ content, artifacts: paths.map((path) => ({ type: 'code', language: 'sql', path })) });
  assert.deepEqual(found('SELECT a FROM b'), []);
  assert.deepEqual(
    found('\n  select * FROM b', ['a.sql', 'a.sql']).map(({ severity }) => severity),
    ['error', 'note'],
  );
});

test('the rule of its example takes no time that grows faster than the output', async () => {
  const { rules } = await theExample();
  const startedAt = performance.now();
  rules({ content: '\n'.repeat(300_000) });
  assert.ok(performance.now() - startedAt < 10_000);
});

test.run();

async function theExample(): Promise<Domain> {
  const [, source] = /```ts\n([\s\S]*?)```/.exec(readFileSync('docs/adding-a-domain.md', 'utf8'))!;
  const { code } = await transform(source!, { loader: 'ts', format: 'esm' });
  const domains = new URL('../../domains/', import.meta.url);
  const placed = code.replace(/from "(\..*?)"/g, (_, path: string) => `from "${new URL(path, domains)}"`);
  return (await import(`data:text/javascript,${encodeURIComponent(placed)}`)).dataQuery;
}
