import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { suite } from 'uvu';
import { gone } from '../../bench/servers/processes.js';

const test = suite('the line to the primary');

test('a worker that says something to a primary which was killed ends without a word', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'worker-link-'));
  const log = join(directory, 'log');
  try {
    const primary = spawn(process.execPath, ['-e', killedPrimary, aWorker], {
      stdio: ['ignore', 'pipe', openSync(log, 'w')],
    });
    const [pid] = await Promise.all([text(primary.stdout!), once(primary, 'exit')]);
    assert.ok(Number(pid) > 0, pid);
    await gone([Number(pid)]);
    assert.equal(readFileSync(log, 'utf8'), '');
  } finally {
    rmSync(directory, { recursive: true });
  }
});

/** Starts a worker, tells its pid, and is killed. */
const killedPrimary = `
  const options = { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] };
  const worker = require('node:child_process').spawn(
    process.execPath, ['--input-type=module', '-e', process.argv[1]], options);
  worker.once('message', () => {
    require('node:fs').writeSync(1, String(worker.pid));
    process.kill(process.pid, 'SIGKILL');
  });`;

/** Sends before its event loop can hear that the line is cut. */
const aWorker = `
  import { openLink } from '${new URL('../../server/cluster/link.js', import.meta.url)}';
  const link = openLink();
  const primary = process.ppid;
  process.send('ready', () => {
    while (process.ppid === primary);
    link.send({ kind: 'cancel', taskId: 'task-1' });
  });`;

test.run();
