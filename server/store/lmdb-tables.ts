import { type Database, open, type RootDatabase } from 'lmdb';
import type { Receipt } from '../../contracts/outcome.js';
import { dictionary } from './lmdb-dictionary.js';
import type { TaskRecord } from './store.js';

/** Raised with every change of the tables that an older release would misread. */
export const formatVersion = 3;

/** Had the records as they are, which the first byte of each tells from a compressed one. */
const uncompressed = '2';

/** Orders tasks by age: when they finished (ms since the epoch), then their id. */
export type AgeKey = [finishedAt: number, taskId: string];

/** What somebody may note on a task that has not ended for good. */
export type NoteKind = 'queued' | 'cancelled';

/** `text` is the hash of the request or the reason of the cancellation; `notedAt` is in ms since the epoch. */
export interface Note {
  readonly text: string;
  readonly notedAt: number;
}

export type NoteKey = [taskId: string, kind: NoteKind];

/** Orders notes by age: when they were made, then their key. */
export type NoteAgeKey = [notedAt: number, taskId: string, kind: NoteKind];

/** An artifact without its output; `bytes` is the length of the output. */
export interface ArtifactHead {
  readonly taskId: string;
  readonly domain: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly bytes: number;
}

/**
 * What one directory holds. Values are JSON, unless said otherwise. What is written together stands together: each
 * table costs a task a page of its own.
 */
export interface Tables {
  readonly root: RootDatabase<string, string>;
  /** Task id → TaskRecord, a line break, Receipt; compressed, because all are alike. */
  readonly tasks: Database<string, string>;
  /** Artifact id → ArtifactHead, a line break, the output's bytes as they were given. */
  readonly artifacts: Database<Uint8Array, string>;
  /** Every task by age; the value is empty. */
  readonly ages: Database<string, AgeKey>;
  /** The tasks whose event is not confirmed; the value is empty. */
  readonly unpublished: Database<string, AgeKey>;
  /** Note. */
  readonly pending: Database<string, NoteKey>;
  /** Every note by age; the value is empty. */
  readonly pendingAges: Database<string, NoteAgeKey>;
  /** `format`, `artifactBytes` (the sum of all outputs), `touch` and `probe`. */
  readonly meta: Database<string, string>;
}

/**
 * Opens the tables and, in a fresh directory or one of format 2, writes the format version. Safe to call in several processes at
 * once, and in several threads of one.
 * @throws FormatMismatch, and what lmdb throws when the files cannot be opened.
 */
export async function openTables(directory: string, mapBytes: number): Promise<Tables> {
  const root = open<string, string>({
    path: directory,
    noSubdir: false,
    encoding: 'string',
    mapSize: mapBytes,
    maxReaders: 1024,
    // A commit returns after its fsync, with the fsync's error if there is one (decision 0004).
    overlappingSync: false,
    ...filePermissions,
  });
  const tables: Tables = {
    root,
    tasks: root.openDB<string, string>('tasks', {
      encoding: 'string',
      compression: { dictionary, threshold: 256 },
    }),
    artifacts: root.openDB<Uint8Array, string>('artifacts', { encoding: 'binary' }),
    ages: root.openDB<string, AgeKey>('ages', { encoding: 'string' }),
    unpublished: root.openDB<string, AgeKey>('unpublished', { encoding: 'string' }),
    pending: root.openDB<string, NoteKey>('pending', { encoding: 'string' }),
    pendingAges: root.openDB<string, NoteAgeKey>('pendingAges', { encoding: 'string' }),
    meta: root.openDB<string, string>('meta', { encoding: 'string' }),
  };
  const found = root.transactionSync(() => {
    const format = tables.meta.get('format');
    if (format !== undefined && format !== uncompressed) return format;
    tables.meta.put('format', String(formatVersion));
    return String(formatVersion);
  });
  if (found === String(formatVersion)) return tables;
  await root.close();
  throw new FormatMismatch(directory, found);
}

/** The directory was written by a release with other tables. */
export class FormatMismatch extends Error {
  readonly code = 'store_format_mismatch';
  constructor(directory: string, found: string) {
    super(
      `the store in ${directory} has format ${found}, this release reads format ${formatVersion}: ` +
        'run the release that wrote it, or point DATA_DIR at another directory',
    );
    this.name = 'FormatMismatch';
  }
}

/** Of the files in the directory; lmdb reads it, its types do not list it. */
const filePermissions = { permissionsMode: 0o600 };

/** The record of a task, of what its table holds of it. */
export function recordOf(stored: string | undefined): TaskRecord | undefined {
  return stored === undefined ? undefined : (JSON.parse(stored.slice(0, stored.indexOf('\n'))) as TaskRecord);
}

/** The receipt of a task, of what its table holds of it. */
export function receiptOf(stored: string | undefined): Receipt | undefined {
  return stored === undefined ? undefined : (JSON.parse(stored.slice(stored.indexOf('\n') + 1)) as Receipt);
}

/** An artifact's head, and where its output begins. */
export function headOf(stored: Uint8Array): { readonly head: ArtifactHead; readonly outputAt: number } {
  const end = stored.indexOf(LF);
  const head = JSON.parse(Buffer.from(stored.subarray(0, end)).toString()) as ArtifactHead;
  return { head, outputAt: end + 1 };
}

const LF = 0x0a;
