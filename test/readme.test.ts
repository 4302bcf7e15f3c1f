import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import { Completed } from '../contracts/outcome.js';
import { compile } from '../contracts/validator.js';

const test = suite('README');
const readme = readFileSync('README.md', 'utf8');

test('the curl of the README gets an answer like the one that stands there', async () => {
  const data = mkdtempSync(join(tmpdir(), 'worker-service-readme-'));
  const service = spawn(process.execPath, ['dist/server/main.js'], {
    env: { ...process.env, DATA_DIR: data, SERVICE_PORT: '0', HOST: '127.0.0.1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise((resolve) => service.once('exit', resolve));
  try {
    const port = await listeningPort(service.stdout);
    const curl = /^curl -s [\s\S]*?\}'$/m.exec(readme)![0];
    const command = curl.replace('localhost:8000', `127.0.0.1:${port}`);
    const { stdout } = await promisify(execFile)('bash', ['-c', command]);
    const answer = JSON.parse(stdout) as Record<string, unknown>;
    assert.deepEqual(compile(Completed).violations(answer), []);
    const shown = JSON.parse(/```json\n([\s\S]*?)```/.exec(readme)![1]!) as Record<string, unknown>;
    assert.deepEqual(Object.keys(answer), Object.keys(shown));
    assert.equal(answer.artifact_id, shown.artifact_id);
  } finally {
    service.kill('SIGTERM');
    assert.equal(await exited, 0);
    rmSync(data, { recursive: true });
  }
});

test.run();

function listeningPort(stdout: NodeJS.ReadableStream): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = '';
    stdout.on('data', (part: Buffer) => {
      text += part.toString();
      const line = /^.*"event":"listening".*$/m.exec(text);
      if (line !== null) resolve((JSON.parse(line[0]) as { port: number }).port);
    });
    stdout.on('end', () => reject(new Error(`the service ended before it listened: ${text}`)));
  });
}
