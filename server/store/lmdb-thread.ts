/** The writing thread of an LMDB store: one message in is one transaction, and one message out is its end. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { openTables, type Tables } from './lmdb-tables.js';
import type { FromThread, ThreadSettings, ToThread } from './lmdb-writer.js';
import { apply, type Write } from './lmdb-writes.js';

const { directory, mapBytes } = workerData as ThreadSettings;
const port = parentPort;
if (!port) throw new Error('lmdb-thread runs in a thread only');

// The store was opened before; making it anew here would write where nobody reads.
if (!existsSync(join(directory, 'data.mdb'))) throw new Error(`the store in ${directory} was removed`);
serve(port).catch((error: unknown) =>
  // So that it ends the thread, and the store says why, whatever the process does with rejections.
  setImmediate(() => {
    throw error;
  }),
);

async function serve(port: MessagePort): Promise<void> {
  const tables = await openTables(directory, mapBytes);
  port.on('message', (message: ToThread) => {
    switch (message.kind) {
      case 'commit':
        port.postMessage(commit(tables, message.writes));
        return;
      case 'close':
        void tables.root.close().then(() => port.close());
        return;
    }
  });
}

function commit(tables: Tables, writes: readonly Write[]): FromThread {
  try {
    return {
      ok: true,
      applied: tables.root.transactionSync(() => writes.map((write) => apply(tables, write))),
    };
  } catch (error) {
    return { ok: false, detail: describe(error) };
  }
}

const fullDiskCodes: unknown[] = [5, 28];

/** LMDB calls a write that the disk took in part EIO (5), not ENOSPC (28). */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error && fullDiskCodes.includes(error.code)
    ? `${error.message} (the disk may be full)`
    : error.message;
}
