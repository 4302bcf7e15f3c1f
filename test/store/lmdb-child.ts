/** A process of the node for `lmdb.test.ts`: `node lmdb-child.js {record|hold} {directory} {prefix}`. */
import { open } from 'lmdb';
import { openLmdbStore } from '../../server/store/lmdb.js';
import { aCompleted, anOutput, aReceipt } from './store.cases.js';

const [, , task, directory = '', prefix = ''] = process.argv;
if (task === 'record') await recordForEver();
else holdTheLock();

/** Writes the id of every record to stdout, once it is durable. */
async function recordForEver(): Promise<void> {
  const store = await openLmdbStore({ directory });
  const lane = async (name: string): Promise<void> => {
    for (let at = 1; ; at += 1) {
      const record = aCompleted({ taskId: `${prefix}-${name}-${at}`, finishedAt: at });
      await store.record(record, aReceipt(record), anOutput(JSON.stringify({ content: record.taskId })));
      process.stdout.write(`${record.taskId}\n`);
    }
  };
  await Promise.all(Array.from({ length: 16 }, (_, at) => lane(String(at))));
}

/** Keeps the directory's write lock until the process is killed. */
function holdTheLock(): void {
  const root = open({ path: directory, noSubdir: false, overlappingSync: false });
  root.transactionSync(() => {
    process.stdout.write('held\n');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
}
