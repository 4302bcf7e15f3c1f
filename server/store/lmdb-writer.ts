import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { builtFile } from '../../config/package-root.js';
import type { Applied, NewArtifact, RecordWrite, Write } from './lmdb-writes.js';
import { type ArtifactStore, StoreUnavailable } from './store.js';

export interface ThreadSettings {
  readonly directory: string;
  readonly mapBytes: number;
}

export interface WriterSettings extends ThreadSettings {
  readonly stallMs: number;
  readonly probeMs: number;
}

/** Plain data; the memory of its artifacts changes hands. */
export type ToThread =
  | { readonly kind: 'commit'; readonly writes: readonly Write[] }
  | { readonly kind: 'close' };

export type FromThread =
  | { readonly ok: true; readonly applied: readonly Applied[] }
  | { readonly ok: false; readonly detail: string };

export interface Writer {
  /**
   * Resolves when the write is on disk.
   * @throws StoreUnavailable when its transaction failed; nothing of it was written.
   */
  write(write: Write): Promise<Applied>;
  state: ArtifactStore['state'];
  /** Waits for the writes that were called before, then ends the thread. */
  close(): Promise<void>;
}

/** Bounds of one transaction: how long it keeps other processes waiting, and how much is copied in one turn. */
const maxWrites = 256;
const maxBytes = 2 * 2 ** 20;

interface Waiting {
  readonly write: Write;
  readonly resolve: (applied: Applied) => void;
  readonly reject: (error: StoreUnavailable) => void;
}

/**
 * Starts the thread that commits. One transaction is under way at a time; what is called meanwhile shares the
 * next one. A thread that dies is replaced at the next write.
 * @param onCommit is called after each commit, before its callers hear of it.
 */
export function startWriter(settings: WriterSettings, onCommit: () => void): Writer {
  const { directory, mapBytes, stallMs, probeMs } = settings;
  const healthy = { ok: true, detail: `lmdb in ${directory}` };
  let health = { ...healthy, since: Date.now() };
  let thread: Worker | undefined = start();
  let queue: Waiting[] = [];
  let underWay: { readonly batch: readonly Waiting[]; readonly startedAt: number } | undefined;
  let scheduled = false;
  let nextProbe: NodeJS.Timeout | undefined;
  let whenIdle: (() => void) | undefined;
  let phase: 'open' | 'closing' = 'open';

  return { write, state, close };

  function write(write: Write): Promise<Applied> {
    if (phase === 'closing') return Promise.reject(new StoreUnavailable(`${healthy.detail} is closing`));
    return new Promise((resolve, reject) => {
      queue.push({ write, resolve, reject });
      // What is called in the same turn of the event loop shares one fsync.
      if (underWay || scheduled) return;
      scheduled = true;
      setImmediate(commitNext);
    });
  }

  function state(): ReturnType<Writer['state']> {
    const waitedMs = underWay ? Date.now() - underWay.startedAt : 0;
    if (!underWay || waitedMs <= stallMs) return health;
    const detail = `lmdb in ${directory}: a commit has been under way for ${waitedMs} ms`;
    return { ok: false, since: underWay.startedAt, detail };
  }

  async function close(): Promise<void> {
    phase = 'closing';
    if (underWay || queue.length > 0) {
      await new Promise<void>((resolve) => {
        whenIdle = resolve;
      });
    }
    clearTimeout(nextProbe);
    if (!thread) return;
    const ended = once(thread, 'exit');
    thread.postMessage({ kind: 'close' } satisfies ToThread);
    await ended;
  }

  /** Hot path (bench: execute). */
  function commitNext(): void {
    scheduled = false;
    const batch = takeBatch(queue);
    if (batch.length === 0) {
      whenIdle?.();
      return;
    }
    queue = queue.slice(batch.length);
    underWay = { batch, startedAt: Date.now() };
    thread ??= start();
    const { writes, handedOver } = packed(batch);
    thread.postMessage({ kind: 'commit', writes } satisfies ToThread, handedOver);
  }

  function start(): Worker {
    const workerData: ThreadSettings = { directory, mapBytes };
    const started = new Worker(builtFile('server/store/lmdb-thread.cjs'), { workerData });
    let reason = 'it ended by itself';
    started.on('message', (end: FromThread) => (end.ok ? succeed(end.applied) : fail(end.detail)));
    started.on('error', (error) => {
      reason = error.message;
    });
    started.on('exit', () => {
      thread = undefined;
      if (underWay) fail(`the writing thread was lost: ${reason}`);
    });
    return started;
  }

  function succeed(applied: readonly Applied[]): void {
    const batch = underWay?.batch ?? [];
    underWay = undefined;
    const room = batch.some(({ write }, at) => provesRoom(write, applied[at]));
    if (room && !health.ok) health = { ...healthy, since: Date.now() };
    onCommit();
    batch.forEach(({ resolve }, index) => {
      resolve(applied[index] ?? { changed: 0 });
    });
    commitNext();
  }

  function fail(reason: string): void {
    const batch = underWay?.batch ?? [];
    underWay = undefined;
    const detail = `${healthy.detail}: ${reason}`;
    health = { ok: false, since: health.ok ? Date.now() : health.since, detail };
    const error = new StoreUnavailable(detail);
    for (const { reject } of batch) reject(error);
    clearTimeout(nextProbe);
    nextProbe = setTimeout(probe, probeMs).unref();
    commitNext();
  }

  /** Without it, a store that is not asked because it is not ready would never become ready. */
  function probe(): void {
    if (health.ok) return;
    // Pages that one transaction frees are for the one after the next, and failed ones do not count.
    write({ kind: 'touch' })
      .then(() => write({ kind: 'probe' }))
      // Its failure is in `health` already.
      .catch(() => undefined);
  }
}

/** Only what adds proves that the disk has room: to remove something succeeds on a full one, too. */
const provesRoom = (write: Write, applied: Applied | undefined): boolean =>
  write.kind === 'probe' || (write.kind === 'record' && applied !== undefined && applied.changed > 0);

function takeBatch(queue: readonly Waiting[]): Waiting[] {
  let bytes = 0;
  const end = queue.findIndex(({ write }, index) => {
    bytes += write.kind === 'record' ? (write.artifact?.outputBytes ?? 0) : 0;
    return index === maxWrites || (index > 0 && bytes > maxBytes);
  });
  return queue.slice(0, end === -1 ? queue.length : end);
}

/**
 * The writes, and the memory that goes with them. Small artifacts are put into one block: to hand over a buffer for
 * each costs more than to copy it (bench: execute).
 */
function packed(batch: readonly Waiting[]): { readonly writes: Write[]; readonly handedOver: ArrayBuffer[] } {
  const small = batch.reduce(
    (sum, { write }) => sum + (isSmall(write) ? write.artifact.stored.length : 0),
    0,
  );
  const block = Buffer.allocUnsafeSlow(small);
  const handedOver = [block.buffer];
  let at = 0;
  const writes = batch.map(({ write }): Write => {
    if (write.kind !== 'record' || write.artifact === undefined) return write;
    const { stored } = write.artifact;
    if (!isSmall(write)) {
      handedOver.push(stored.buffer);
      return write;
    }
    block.set(stored, at);
    at += stored.length;
    return { ...write, artifact: { ...write.artifact, stored: block.subarray(at - stored.length, at) } };
  });
  return { writes, handedOver };
}

/** Whether its artifact lies in memory that it shares with others. */
function isSmall(write: Write): write is RecordWrite & { artifact: NewArtifact } {
  if (write.kind !== 'record' || write.artifact === undefined) return false;
  return write.artifact.stored.length < write.artifact.stored.buffer.byteLength;
}
