import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import { freePort } from '../../bench/servers/processes.js';

const test = suite('ports of the servers that tests start');
const COUNT = 300;

/** The ports that another process is given, which lives until it has printed them all. */
async function elsewhere(): Promise<number[]> {
  const module = new URL('../../bench/servers/processes.js', import.meta.url).href;
  const code = `const { freePort } = await import('${module}');
    const ports = [];
    for (let i = 0; i < ${COUNT}; i++) ports.push(await freePort());
    console.log(JSON.stringify(ports));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', code]);
  return JSON.parse(stdout);
}

test('none is given twice, whoever asks', async () => {
  const here: number[] = [];
  for (let i = 0; i < COUNT; i++) here.push(await freePort());
  const all = [...here, ...(await elsewhere())];
  assert.equal(new Set(all).size, 2 * COUNT);
});

test.run();
