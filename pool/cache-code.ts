import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { cacheOf, loadBundle } from './load-bundle.js';
import { threadBundle } from './pools.js';
import type { ThreadData } from './thread.js';

/** Keeps what V8 has compiled when the bundle of the threads is loaded. A step of the build; it runs in such a thread. */
if (isMainThread) {
  const data: ThreadData = { bundle: threadBundle, vocabularies: {} };
  new Worker(fileURLToPath(import.meta.url), { workerData: data });
} else {
  const { bundle } = workerData as ThreadData;
  writeFileSync(cacheOf(bundle), loadBundle(bundle).script.createCachedData());
}
