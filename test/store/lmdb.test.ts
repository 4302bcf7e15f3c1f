import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { hash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { open } from 'lmdb';
import { suite } from 'uvu';
import type { Receipt } from '../../contracts/outcome.js';
import { type LmdbOptions, openLmdbStore } from '../../server/store/lmdb.js';
import { dictionary } from '../../server/store/lmdb-dictionary.js';
import { type ArtifactStore, StoreUnavailable, type TaskRecord } from '../../server/store/store.js';
import { aCompleted, aFailed, anOutput, aReceipt, storeCases } from './store.cases.js';

storeCases('lmdb', async () => {
  const directory = aDirectory();
  const store = await openLmdbStore({ directory });
  return {
    store,
    async cleanup() {
      await store.close();
      rmSync(directory, { recursive: true });
    },
  };
});

const test = suite('the LMDB store');

/** A process that a failed test left would keep this one from ending. */
const processes = new Set<ChildProcess>();
test.after.each(() => {
  for (const child of processes) child.kill('SIGKILL');
  processes.clear();
});

test('a fresh directory is made for its owner only', async () => {
  await inDirectory(async (parent) => {
    const directory = join(parent, 'a', 'store.v1');
    await (await openLmdbStore({ directory })).close();
    assert.equal(statSync(directory).mode & 0o777, 0o700);
    for (const file of readdirSync(directory)) {
      assert.equal(statSync(join(directory, file)).mode & 0o077, 0, file);
    }
  });
});

test('a directory that cannot be made is an error that names it', async () => {
  const directory = '/proc/worker-service/store';
  await assert.rejects(
    openLmdbStore({ directory }),
    /the store in \/proc\/worker-service\/store cannot be opened: .*ENOENT/,
  );
});

test('a directory that is there keeps its mode', async () => {
  await inDirectory(async (parent) => {
    const directory = join(parent, 'given');
    mkdirSync(directory);
    chmodSync(directory, 0o750);
    await (await openLmdbStore({ directory })).close();
    assert.equal(statSync(directory).mode & 0o777, 0o750);
  });
});

test('what was recorded is there when the store is opened again', async () => {
  await inDirectory(async (directory) => {
    const record = aCompleted({ taskId: 'kept' });
    const first = await openLmdbStore({ directory });
    await first.record(record, aReceipt(record), anOutput('{"content":"kept"}'));
    await first.close();
    const second = await openLmdbStore({ directory });
    assert.deepEqual(await second.find('kept'), record);
    assert.equal(
      Buffer.from((await second.artifact('art-kept'))?.output ?? []).toString(),
      '{"content":"kept"}',
    );
    await second.close();
  });
});

test('a directory of another format is refused, and nothing in it changes', async () => {
  await inDirectory(async (directory) => {
    await (await openLmdbStore({ directory })).close();
    await setFormat(directory, '99');
    await assert.rejects(openLmdbStore({ directory }), {
      name: 'FormatMismatch',
      message: /has format 99, this release reads format 3/,
    });
    await setFormat(directory, '3');
    await (await openLmdbStore({ directory })).close();
  });
});

test('a directory of format 2 is taken over with its records, which were not compressed', async () => {
  await inDirectory(async (directory) => {
    const old = aCompleted({ taskId: 'old' });
    await (await openLmdbStore({ directory })).close();
    await writeUncompressed(directory, old);
    await setFormat(directory, '2');
    await withStore({ directory }, async (store) => {
      const young = aCompleted({ taskId: 'young' });
      await store.record(young, aReceipt(young), anOutput('{}'));
      assert.deepEqual(await store.find('old'), old);
      assert.deepEqual(await store.receipt('old'), aReceipt(old));
      assert.deepEqual(await store.find('young'), young);
    });
    assert.equal(await formatOf(directory), '3');
  });
});

test('the dictionary is that of format 3: another one could read no record', () => {
  assert.equal(
    hash('sha256', dictionary),
    '00809367db7457f2467f1468af03fd0ece328c6854bbab5072979d9a23b364a0',
  );
});

test('alike records take less than half of the room of their text', async () => {
  await inDirectory(async (directory) => {
    let bytes = 0;
    await withStore({ directory }, async (store) => {
      await Promise.all(
        Array.from({ length: 2_000 }, (_, at) => {
          const record = aCompleted({ taskId: `alike-${at}` });
          const receipt = { ...aReceipt(record), attempts: [anAttempt, { ...anAttempt, number: 2 }] };
          bytes += JSON.stringify(record).length + JSON.stringify(receipt).length;
          return store.record(record, receipt, undefined);
        }),
      );
    });
    assert.ok(statSync(join(directory, 'data.mdb')).size < bytes / 2);
  });
});

test('a path that is no store of ours is refused as unavailable', async () => {
  await inDirectory(async (parent) => {
    const file = join(parent, 'file');
    writeFileSync(file, 'not a directory');
    await assert.rejects(openLmdbStore({ directory: file }), StoreUnavailable);
    const foreign = join(parent, 'foreign');
    mkdirSync(foreign);
    writeFileSync(join(foreign, 'data.mdb'), 'x'.repeat(20_000));
    await assert.rejects(openLmdbStore({ directory: foreign }), StoreUnavailable);
  });
});

test('an id that is not an id is refused without harm to the others', async () => {
  await inDirectory(async (directory) => {
    await withStore({ directory }, async (store) => {
      const good = aFailed({ taskId: 'good' });
      const bad = aFailed({ taskId: 'x'.repeat(5_000) });
      const recorded = store.record(good, aReceipt(good), undefined);
      await assert.rejects(store.record(bad, aReceipt(bad), undefined), TypeError);
      await recorded;
      assert.ok(store.state().ok);
    });
  });
});

test('after SIGKILL every record that was reported durable is found', async () => {
  await inDirectory(async (directory) => {
    const child = aProcess('record', directory, 'killed');
    const reported = linesOf(child);
    await waitFor(() => reported().length > 200);
    await kill(child);
    await withStore({ directory }, async (store) => {
      const ids = reported();
      for (const taskId of ids) {
        assert.ok(await store.find(taskId), taskId);
        assert.ok(await store.receipt(taskId), taskId);
        const output = (await store.artifact(`art-${taskId}`))?.output;
        assert.equal(Buffer.from(output ?? []).toString(), JSON.stringify({ content: taskId }));
      }
      const unpublished = new Set((await store.unpublished(1_000_000)).map(({ taskId }) => taskId));
      assert.ok(ids.every((taskId) => unpublished.has(taskId)));
    });
  });
});

test('the processes of a node share the directory, and one that is killed does not stop the others', async () => {
  await inDirectory(async (directory) => {
    await withStore({ directory }, async (store) => {
      const ours = aCompleted({ taskId: 'a-0-1', finishedAt: 7 });
      await store.record(ours, aReceipt(ours), anOutput('{}'));
      const children = ['a', 'b'].map((prefix) => aProcess('record', directory, prefix));
      const [first, second] = children.map(linesOf) as [() => string[], () => string[]];
      await waitFor(() => first().length > 100 && second().length > 100);
      assert.deepEqual(await store.find('a-0-1'), ours, 'a final record stands against another process');
      for (const taskId of [...first(), ...second()]) assert.ok(await store.find(taskId), taskId);
      await kill(children[0]);
      const reportedBefore = second().length;
      const after = aCompleted({ taskId: 'after' });
      await store.record(after, aReceipt(after), anOutput('{}'));
      await waitFor(() => second().length > reportedBefore + 50);
      await kill(children[1]);
    });
  });
});

test('a commit that does not come back turns the state, until it does', async () => {
  await inDirectory(async (directory) => {
    await withStore({ directory, stallMs: 50 }, async (store) => {
      const holder = aProcess('hold', directory, '');
      await once(holder.stdout ?? assert.fail('no stdout'), 'data');
      const record = aFailed({ taskId: 'waits' });
      const recorded = store.record(record, aReceipt(record), undefined);
      let told = '';
      await waitFor(() => {
        const { ok, detail } = store.state();
        told = detail;
        return !ok;
      });
      const [, ms] = /a commit has been under way for (\d+) ms/.exec(told) ?? [];
      assert.ok(Number(ms) > 50, told);
      assert.equal(await store.find('waits'), undefined);
      await kill(holder);
      await recorded;
      assert.ok(store.state().ok);
    });
  });
});

test('a writing thread that is lost is replaced', async () => {
  await inDirectory(async (directory) => {
    const threads: Worker[] = [];
    const remember = (thread: Worker): unknown => threads.push(thread);
    process.on('worker', remember);
    await withStore({ directory }, async (store) => {
      const before = aFailed({ taskId: 'before' });
      await store.record(before, aReceipt(before), undefined);
      await threads[0]?.terminate();
      const after = aFailed({ taskId: 'after' });
      await store.record(after, aReceipt(after), undefined);
      assert.ok(store.state().ok);
      assert.deepEqual(await store.find('before'), before);
      assert.deepEqual(await store.find('after'), after);
    });
    process.off('worker', remember);
    assert.equal(threads.length, 2);
  });
});

test('a record of 2 kB takes the event loop well under a millisecond', async () => {
  await inDirectory(async (directory) => {
    await withStore({ directory }, async (store) => {
      const output = Buffer.alloc(2_048, 'x');
      const records = Array.from({ length: 3_000 }, (_, at) =>
        aCompleted({ taskId: `r${at}`, finishedAt: at }),
      );
      const receipts = records.map(aReceipt);
      let next = 0;
      const lane = async (): Promise<void> => {
        for (let at = next++; at < records.length; at = next++) {
          await store.record(records[at] as TaskRecord, receipts[at] as Receipt, output);
        }
      };
      const before = performance.eventLoopUtilization();
      await Promise.all(Array.from({ length: 64 }, lane));
      const { active } = performance.eventLoopUtilization(before);
      const microseconds = (active * 1_000) / records.length;
      console.log(`${microseconds.toFixed(1)} µs of the event loop a record`);
      assert.ok(microseconds < 250);
    });
  });
});

test('a full disk refuses the write, turns the state, and is over when there is room', async () => {
  await onSmallDisk('4m', async (directory, resize) => {
    await withStore({ directory, probeMs: 20 }, async (store) => {
      const recorded = await fill(store);
      assert.ok(recorded > 2);
      const { ok, detail } = store.state();
      assert.equal(ok, false);
      assert.match(detail, /the disk may be full/);
      const refused = aCompleted({ taskId: `f${recorded}`, finishedAt: recorded });
      assert.equal(await store.find(refused.taskId), undefined);
      for (let at = 0; at < recorded; at += 1) {
        assert.equal((await store.artifact(`art-f${at}`))?.output.length, 200_000);
      }
      resize('16m');
      await waitFor(() => store.state().ok);
      await store.record(refused, aReceipt(refused), Buffer.alloc(200_000));
      assert.deepEqual(await store.find(refused.taskId), refused);
      assert.ok(store.state().ok);
    });
  });
});

test('a full disk is over when prune made room', async () => {
  await onSmallDisk('4m', async (directory) => {
    await withStore({ directory, probeMs: 20 }, async (store) => {
      const recorded = await fill(store);
      await store.markPublished(await store.unpublished(recorded));
      assert.ok((await store.prune(recorded, { maxAgeMs: recorded, maxBytes: 1_000_000 })) > 5);
      await waitFor(() => store.state().ok);
      const next = aCompleted({ taskId: 'next' });
      await store.record(next, aReceipt(next), Buffer.alloc(200_000));
      assert.deepEqual(await store.find('next'), next);
    });
  });
});

test('a map that is too small grows', async () => {
  await inDirectory(async (directory) => {
    await withStore({ directory, mapBytes: 256 * 1024 }, async (store) => {
      for (let at = 0; at < 20; at += 1) {
        const record = aCompleted({ taskId: `g${at}`, finishedAt: at });
        await store.record(record, aReceipt(record), Buffer.alloc(200_000, at));
      }
      for (let at = 0; at < 20; at += 1)
        assert.equal((await store.artifact(`art-g${at}`))?.output[199_999], at);
    });
  });
});

test.run();

/** Records 200 kB at a time until the store refuses; returns how many it took. */
async function fill(store: ArtifactStore): Promise<number> {
  for (let at = 0; at < 1_000; at += 1) {
    const record = aCompleted({ taskId: `f${at}`, finishedAt: at });
    try {
      await store.record(record, aReceipt(record), Buffer.alloc(200_000));
    } catch (error) {
      assert.ok(error instanceof StoreUnavailable);
      return at;
    }
  }
  return assert.fail('the disk did not get full');
}

async function onSmallDisk(
  size: string,
  run: (directory: string, resize: (size: string) => void) => Promise<void>,
): Promise<void> {
  await inDirectory(async (directory) => {
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', directory], { stdio: 'ignore' });
    } catch {
      console.log('SKIPPED: a small disk needs the right to mount a tmpfs');
      return;
    }
    try {
      await run(directory, (to) => execFileSync('mount', ['-o', `remount,size=${to}`, directory]));
    } finally {
      execFileSync('umount', ['-l', directory]);
    }
  });
}

async function withStore(options: LmdbOptions, run: (store: ArtifactStore) => Promise<void>): Promise<void> {
  const store = await openLmdbStore(options);
  try {
    await run(store);
  } finally {
    await store.close();
  }
}

const anAttempt: Receipt['attempts'][number] = {
  number: 1,
  tier: 'small',
  model: 'gemma3:12b',
  endpoint: 'ollama_gpu_general',
  kind: 'first',
  started_at: '2026-11-26T07:24:53.541Z',
  headers_ms: 12.3,
  first_token_ms: 45.6,
  duration_ms: 789.1,
  tokens: { prompt: 1046, completion: 48, counted_by: 'gateway', method: 'exact' },
  max_output_tokens: 9830,
  finish_reason: 'stop',
  ended: 'finished',
};

/** As a release of format 2 did, whose tables have no compression. */
async function writeUncompressed(directory: string, record: TaskRecord): Promise<void> {
  const root = open({ path: directory, noSubdir: false, overlappingSync: false });
  const tasks = root.openDB<string, string>('tasks', { encoding: 'string' });
  await tasks.put(record.taskId, `${JSON.stringify(record)}\n${JSON.stringify(aReceipt(record))}`);
  await root.close();
}

async function formatOf(directory: string): Promise<string | undefined> {
  const root = open({ path: directory, noSubdir: false, overlappingSync: false });
  const format = root.openDB<string, string>('meta', { encoding: 'string' }).get('format');
  await root.close();
  return format;
}

async function setFormat(directory: string, format: string): Promise<void> {
  const root = open({ path: directory, noSubdir: false, overlappingSync: false });
  await root.openDB<string, string>('meta', { encoding: 'string' }).put('format', format);
  await root.close();
}

function aProcess(task: 'record' | 'hold', directory: string, prefix: string): ChildProcess {
  const script = fileURLToPath(new URL('./lmdb-child.js', import.meta.url));
  const child = spawn(process.execPath, [script, task, directory, prefix], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  processes.add(child);
  return child;
}

async function kill(child: ChildProcess | undefined): Promise<void> {
  if (!child) return;
  const ended = once(child, 'close');
  child.kill('SIGKILL');
  await ended;
}

/** The whole lines that a process has written so far. */
function linesOf(child: ChildProcess): () => string[] {
  let written = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    written += chunk.toString();
  });
  return () => written.split('\n').slice(0, -1);
}

async function waitFor(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, 'waited for 60 s in vain');
    await sleep(5);
  }
}

async function inDirectory(run: (directory: string) => Promise<void>): Promise<void> {
  const directory = aDirectory();
  try {
    await run(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function aDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'lmdb-store-'));
}
