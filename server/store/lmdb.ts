import { closeSync, existsSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { recordJson } from '../outcome-json.js';
import { requireKey } from './key.js';
import { replayOf } from './lives.js';
import { findNotes } from './lmdb-notes.js';
import {
  type AgeKey,
  type ArtifactHead,
  FormatMismatch,
  headOf,
  type NoteKind,
  openTables,
  receiptOf,
  recordOf,
  type Tables,
} from './lmdb-tables.js';
import { startWriter } from './lmdb-writer.js';
import { type NewArtifact, notesPerStep } from './lmdb-writes.js';
import { makeDirectory } from './make-directory.js';
import { type ArtifactStore, StoreUnavailable, type TaskRecord } from './store.js';

export interface LmdbOptions {
  /** Shared by all processes of a node; made with mode 0700 when it is not there. On a local disk, not on NFS. */
  readonly directory: string;
  /** Whether other processes write into the directory: then each read sees what they have committed. @default false */
  readonly shared?: boolean;
  /** Whether final outcomes are marked `unpublished`: not, when nobody publishes them. @default true */
  readonly outbox?: boolean;
  /**
   * Address space reserved for the map, in bytes. No limit: the file takes what it needs, and beyond this the
   * map grows at some cost. @default 64 GiB
   */
  readonly mapBytes?: number;
  /** How long one commit may take before `state()` says that the store hangs, in milliseconds. @default 5000 */
  readonly stallMs?: number;
  /** How often a store that refused a write tries one of its own, in milliseconds. @default 2000 */
  readonly probeMs?: number;
}

/**
 * Opens the embedded store. Reads run where they are called (they are memory accesses); writes of all callers
 * are gathered and committed by one thread. Why so: `docs/decisions/0004-lmdb-durability.md`.
 * @throws StoreUnavailable when the directory cannot be opened, FormatMismatch when another version wrote it.
 */
export async function openLmdbStore(options: LmdbOptions): Promise<ArtifactStore> {
  const {
    directory,
    outbox = true,
    shared = false,
    mapBytes = 64 * 2 ** 30,
    stallMs = 5_000,
    probeMs = 2_000,
  } = options;
  const tables = await make(directory, mapBytes);
  const writer = startWriter({ directory, mapBytes, stallMs, probeMs }, () => tables.root.resetReadTxn());
  let phase: 'open' | 'closing' | 'closed' = 'open';
  let closed: Promise<void> | undefined;

  const refuseWhenClosed = (): void => {
    if (phase !== 'open') throw new StoreUnavailable(`the store in ${directory} is ${phase}`);
  };
  const read = <T>(get: () => T): T => {
    refuseWhenClosed();
    try {
      if (shared) tables.root.resetReadTxn();
      return get();
    } catch (cause) {
      throw new StoreUnavailable(`the store in ${directory} cannot be read: ${messageOf(cause)}`, { cause });
    }
  };

  const note = async (kind: NoteKind, taskId: string, text: string): Promise<void> => {
    refuseWhenClosed();
    await writer.write({ kind: 'note', taskId: requireKey(taskId), note: kind, text, notedAt: Date.now() });
  };

  return {
    async find(taskId) {
      return read(() => recordOf(tables.tasks.get(taskId)));
    },

    async record(record, receipt, output, { unlessCancelled = false } = {}) {
      refuseWhenClosed();
      const { changed } = await writer.write({
        kind: 'record',
        taskId: requireKey(record.taskId),
        final: record.final,
        marked: record.final && outbox,
        unlessCancelled,
        finishedAt: record.finishedAt,
        replay: replayOf(record),
        stored: `${recordJson(record)}\n${JSON.stringify(receipt)}`,
        artifact: newArtifact(record, output),
      });
      return changed > 0;
    },

    async receipt(taskId) {
      return read(() => receiptOf(tables.tasks.get(taskId)));
    },

    async artifact(artifactId) {
      return read(() => {
        const stored = tables.artifacts.getBinary(artifactId);
        if (!stored) return undefined;
        const { head, outputAt } = headOf(stored);
        const { bytes, ...described } = head;
        // lmdb redefines `length` on its large buffers; a view of our own has none of that.
        const output = new Uint8Array(stored.buffer, stored.byteOffset + outputAt, bytes);
        return { artifactId, ...described, output };
      });
    },

    noteQueued: (taskId, requestHash) => note('queued', taskId, requestHash),

    async dropQueued(taskId, requestHash) {
      refuseWhenClosed();
      await writer.write({ kind: 'dropQueued', taskId: requireKey(taskId), requestHash });
    },

    noteCancelled: (taskId, reason) => note('cancelled', taskId, reason),

    async pending(taskId) {
      return read(() => findNotes(tables, taskId));
    },

    async unpublished(limit, before) {
      return read(() => oldestUnpublished(tables, limit, before));
    },

    async isPublished(taskId) {
      return read(() => {
        const record = recordOf(tables.tasks.get(taskId));
        return record?.final === true && !tables.unpublished.doesExist([record.finishedAt, taskId]);
      });
    },

    async reopen(taskId, replay = 0) {
      refuseWhenClosed();
      return (await writer.write({ kind: 'reopen', taskId: requireKey(taskId), replay })).changed > 0;
    },

    async markPublished(records) {
      refuseWhenClosed();
      const ages = records.map(({ finishedAt, taskId }): AgeKey => [finishedAt, requireKey(taskId)]);
      if (ages.length > 0) await writer.write({ kind: 'published', ages });
    },

    async prune(now, { maxAgeMs, maxBytes }) {
      let dropped = 0;
      let after: AgeKey | undefined;
      do {
        refuseWhenClosed();
        const step = await writer.write({ kind: 'prune', before: now - maxAgeMs, maxBytes, after });
        dropped += step.changed;
        after = step.next;
      } while (after);
      let notes: number;
      do {
        refuseWhenClosed();
        notes = (await writer.write({ kind: 'pruneNotes', before: now - maxAgeMs })).changed;
      } while (notes === notesPerStep);
      return dropped;
    },

    state: () => (phase === 'open' ? writer.state() : { ...writer.state(), ok: false, detail: phase }),

    close() {
      closed ??= (async () => {
        phase = 'closing';
        await writer.close();
        await tables.root.close();
        phase = 'closed';
      })();
      return closed;
    },
  };
}

async function make(directory: string, mapBytes: number): Promise<Tables> {
  try {
    makeDirectory(directory);
    refuseForeignFile(join(directory, 'data.mdb'));
    return await openTables(directory, mapBytes);
  } catch (cause) {
    if (cause instanceof FormatMismatch) throw cause;
    throw new StoreUnavailable(`the store in ${directory} cannot be opened: ${messageOf(cause)}`, { cause });
  }
}

/** Magic number and data version 2, as lmdb 3 writes them behind the header of the first page. */
const signature = Buffer.from('dec0efbe02000000', 'hex');
const signatureAt = 24;
/** Two pages of meta data, of the smallest size. */
const leastBytes = 8_192;

/** lmdb 3.5 ends the process with a segmentation fault when it opens a file that is not its own. */
function refuseForeignFile(path: string): void {
  if (!existsSync(path) || statSync(path).size === 0) return;
  const found = Buffer.alloc(signature.length);
  const file = openSync(path, 'r');
  try {
    readSync(file, found, 0, found.length, signatureAt);
    if (!found.equals(signature) || fstatSync(file).size < leastBytes) {
      throw new Error(`${path} is not a file of this store`);
    }
  } finally {
    closeSync(file);
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function newArtifact(record: TaskRecord, output: Uint8Array | undefined): NewArtifact | undefined {
  if (!output) return undefined;
  const { outcome, taskId, domain, finishedAt } = record;
  if (outcome.status !== 'completed') throw new TypeError(`a failed task has no output: ${taskId}`);
  const head: ArtifactHead = { taskId, domain, createdAt: finishedAt, bytes: output.byteLength };
  const line = `${JSON.stringify(head)}\n`;
  // A copy, because its owner may change the output.
  const stored = Buffer.allocUnsafe(Buffer.byteLength(line) + output.length);
  stored.set(output, stored.write(line));
  return { id: requireKey(outcome.artifact_id), stored, outputBytes: output.length };
}

function oldestUnpublished(tables: Tables, limit: number, before: number | undefined): TaskRecord[] {
  const records: TaskRecord[] = [];
  const range = before === undefined ? { limit } : { limit, end: [before, ''] satisfies AgeKey };
  for (const [, taskId] of tables.unpublished.getKeys(range)) {
    const record = recordOf(tables.tasks.get(taskId));
    if (record) records.push(record);
  }
  return records;
}
