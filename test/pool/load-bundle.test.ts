import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import { threadBundle } from '../../pool/pools.js';

const test = suite('the bundle of the threads');

/** What a thread that loads it has of it. */
function loaded(bundle: string): Promise<{ names: string[]; isRejected: boolean | undefined }> {
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData.loader).then(({ loadBundle }) => {
      const { exports, script } = loadBundle(workerData.bundle);
      parentPort.postMessage({ names: Object.keys(exports).sort(), isRejected: script.cachedDataRejected });
    });`;
  const loader = new URL('../../pool/load-bundle.js', import.meta.url).href;
  const worker = new Worker(code, { eval: true, workerData: { loader, bundle, vocabularies: {} } });
  return new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
}

const names = ['batch', 'parse', 'parseAnswer', 'parseMessage', 'read', 'warm'];

test('is loaded with what V8 compiled of it at the build', async () => {
  assert.deepEqual(await loaded(threadBundle), { names, isRejected: false });
});

test('is compiled anew where the build left nothing of that', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'bundle-'));
  try {
    const copy = join(directory, 'thread.bundle.cjs');
    copyFileSync(threadBundle, copy);
    assert.deepEqual(await loaded(copy), { names, isRejected: undefined });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test.run();
