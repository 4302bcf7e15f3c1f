import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { suite } from 'uvu';

const test = suite('npm run build');
const root = fileURLToPath(new URL('../../../', import.meta.url));
const sources = ['server', 'pool', 'domains', 'contracts', 'config', 'bench', 'test', 'dist'];

test('writes nothing under a service that runs, unless a source has changed', async () => {
  // A copy: to write into the dist of this tree would break the tests beside this one.
  const copy = mkdtempSync(join(tmpdir(), 'worker-service-build-'));
  try {
    for (const path of [...sources, 'package.json', 'tsconfig.json'])
      cpSync(root + path, join(copy, path), { recursive: true, preserveTimestamps: true });
    symlinkSync(`${root}node_modules`, join(copy, 'node_modules'));
    const build = () => promisify(execFile)('npm', ['run', '--silent', 'build'], { cwd: copy });
    const built = timesOf(join(copy, 'dist'));
    await build();
    assert.deepEqual(changesIn(join(copy, 'dist'), built), []);
    const now = new Date();
    utimesSync(join(copy, 'server/log.ts'), now, now);
    await build();
    assert.ok(changesIn(join(copy, 'dist'), built).includes('server/log.js'));
    const again = timesOf(join(copy, 'dist'));
    await build();
    assert.deepEqual(changesIn(join(copy, 'dist'), again), []);
  } finally {
    rmSync(copy, { recursive: true });
  }
});

test.run();

function timesOf(folder: string): Map<string, number> {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return new Map(files.map((file) => [file, statSync(join(folder, file)).mtimeMs]));
}

function changesIn(folder: string, before: ReadonlyMap<string, number>): string[] {
  return [...timesOf(folder)].filter(([file, time]) => time !== before.get(file)).map(([file]) => file);
}
