import { readdirSync, readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { builtFile } from '../../config/package-root.js';

const test = suite('source maps of the programs');

const main = builtFile('server/main.js');
const others = readdirSync(builtFile('server/chunks')).filter((name) => name.endsWith('.js'));
const bundles = [main, ...others.map((name) => builtFile(`server/chunks/${name}`))].map((url) => ({
  lines: readFileSync(url, 'utf8').split('\n'),
  map: new SourceMap(JSON.parse(readFileSync(new URL(`${url.href}.map`), 'utf8'))),
}));

/** Where a stack would say that a line of code is. */
function originOf(code: string): string | undefined {
  for (const { lines, map } of bundles) {
    const line = lines.findIndex((each) => each.includes(code));
    if (line < 0) continue;
    const entry = map.findEntry(line, lines[line]!.indexOf(code));
    return 'originalSource' in entry && entry.originalSource !== undefined
      ? `${entry.originalSource.replace(/^(?:\.\.\/)+/, '')}:${entry.originalLine + 1}`
      : undefined;
  }
  throw new Error(`no bundle has: ${code}`);
}

test('lead to the line of the TypeScript', () => {
  const code = 'throw new Error("the code of the service lies in no package");';
  const lines = readFileSync(builtFile('../config/package-root.ts'), 'utf8').split('\n');
  const at = lines.findIndex((line) => line.includes('lies in no package')) + 1;
  assert.ok(at > 1);
  assert.is(originOf(code), `config/package-root.ts:${at}`);
});

test('say nothing of packages, and do not take them for the file before', () => {
  assert.is(originOf('function serializePathWithQuery('), undefined);
});

test.run();
