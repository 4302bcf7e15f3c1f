import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import { tell } from '../tell.js';

const test = suite('what the documents say of security');
const root = new URL('../../../', import.meta.url);
const run = promisify(execFile);

test('each threat names a test that exists', () => {
  const document = readFileSync(new URL('docs/operations/security.md', root), 'utf8');
  const named = [...document.matchAll(/^\|.*\| `([\w/-]+)`: (.+) \|$/gm)];
  assert.ok(named.length >= 20, `${named.length} threats name a test`);
  const rows = document.slice(document.indexOf('## Threats'), document.indexOf('## What is not'));
  assert.equal(rows.match(/^\| /gm)!.length - 1, named.length, 'a threat names no test');
  for (const [, file, name] of named) {
    const tests = readFileSync(new URL(`test/${file}.test.ts`, root), 'utf8');
    assert.ok(tests.includes(`test('${name}'`), `${file} has no test "${name}"`);
  }
});

test('the bill of materials lists what is shipped', async () => {
  const { stdout } = await run('npm', ['run', '--silent', 'sbom'], {
    cwd: root,
    maxBuffer: 64 * 2 ** 20,
  });
  const sbom = JSON.parse(stdout) as { bomFormat: string; components: { name: string }[] };
  assert.equal(sbom.bomFormat, 'CycloneDX');
  const names = sbom.components.map(({ name }) => name);
  const { dependencies, devDependencies } = JSON.parse(
    readFileSync(new URL('package.json', root), 'utf8'),
  ) as Record<string, Record<string, string>>;
  for (const [name, version] of Object.entries(dependencies!)) {
    const [, alias] = /^npm:(.+)@/.exec(version) ?? [];
    assert.ok(names.includes(alias ?? name) || names.includes(name), `${name} is missing`);
  }
  assert.ok(!names.includes('autocannon') && devDependencies !== undefined);
});

test('no shipped package has a known flaw', async () => {
  const { stdout, stderr } = await run('npm', ['audit', '--omit=dev', '--json'], { cwd: root }).catch(
    (error: { stdout: string; stderr: string }) => error,
  );
  const answer = JSON.parse(stdout || '{}') as { metadata?: { vulnerabilities: Record<string, number> } };
  if (answer.metadata === undefined) {
    // Not every registry answers this question; that it could not be asked is no finding.
    tell(
      `npm audit could not be asked: ${stderr.split('\n').find((line) => /audit/.test(line)) ?? 'no answer'}`,
    );
    return;
  }
  const { info: _, low: __, total: ___, ...serious } = answer.metadata.vulnerabilities;
  assert.deepEqual(
    Object.entries(serious).filter(([, count]) => count > 0),
    [],
  );
});

test.run();
