import type { Note, NoteAgeKey, NoteKey, Tables } from './lmdb-tables.js';
import type { PendingTask } from './store.js';

/** Both notes on a task, or undefined. */
export function findNotes(tables: Tables, taskId: string): PendingTask | undefined {
  const queued = findNote(tables, [taskId, 'queued']);
  const cancelled = findNote(tables, [taskId, 'cancelled']);
  if (!queued && !cancelled) return undefined;
  return { ...(queued && { queuedHash: queued.text }), ...(cancelled && { cancelReason: cancelled.text }) };
}

/** Only inside a transaction. */
export function putNote(tables: Tables, key: NoteKey, note: Note): void {
  dropNote(tables, key);
  tables.pending.put(key, JSON.stringify(note));
  tables.pendingAges.put([note.notedAt, ...key], '');
}

/** Only inside a transaction. Returns how many notes went: none or one. */
export function dropNote(tables: Tables, key: NoteKey): number {
  const note = findNote(tables, key);
  if (!note) return 0;
  tables.pending.remove(key);
  tables.pendingAges.remove([note.notedAt, ...key]);
  return 1;
}

/** Only inside a transaction. Drops notes made before `before`, at most `limit`, and returns how many. */
export function dropNotesBefore(tables: Tables, before: number, limit: number): number {
  // Read whole before anything is removed: a cursor does not survive the removal of its entry.
  const oldest = [...tables.pendingAges.getKeys({ limit })].filter(([notedAt]) => notedAt < before);
  for (const [, ...key] of oldest satisfies NoteAgeKey[]) dropNote(tables, key);
  return oldest.length;
}

function findNote(tables: Tables, key: NoteKey): Note | undefined {
  const json = tables.pending.get(key);
  return json === undefined ? undefined : (JSON.parse(json) as Note);
}
