import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';

const test = suite('the documents');
const root = fileURLToPath(new URL('../../../', import.meta.url));
const documents = [
  'README.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md') && !name.startsWith('examples'))
    .map((name) => join('docs', name)),
];

/** As GitHub makes the anchor of a heading. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
    title!
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

test('every link leads to a file, and to a heading, that there is', () => {
  assert.ok(documents.length > 15);
  for (const name of documents) {
    const text = readFileSync(join(root, name), 'utf8');
    for (const [, link] of text.matchAll(/\]\((?!https?:)([^)]+)\)/g)) {
      const [path, anchor] = link!.split('#');
      const file = path === '' ? join(root, name) : join(root, dirname(name), path!);
      assert.ok(existsSync(file), `${name} links to ${link}`);
      if (anchor !== undefined)
        assert.ok(anchorsOf(readFileSync(file, 'utf8')).includes(anchor), `${name} links to ${link}`);
    }
  }
});

test('every command of npm that they name is there', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  for (const name of documents) {
    const text = readFileSync(join(root, name), 'utf8');
    for (const [, script] of text.matchAll(/npm run (?:--silent )?([a-z-]+)/g))
      assert.ok(script! in scripts, `${name}: npm run ${script}`);
  }
});

test.run();
