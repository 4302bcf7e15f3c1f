import { reopened, replayOf } from './lives.js';
import { dropNote, dropNotesBefore, findNotes, putNote } from './lmdb-notes.js';
import { type AgeKey, headOf, type NoteKind, receiptOf, recordOf, type Tables } from './lmdb-tables.js';
import type { TaskRecord } from './store.js';

/** One call's part of a transaction, as it is posted to the writing thread. */
export type Write =
  | RecordWrite
  | { readonly kind: 'reopen'; readonly taskId: string; readonly replay: number }
  | { readonly kind: 'published'; readonly ages: readonly AgeKey[] }
  | {
      readonly kind: 'prune';
      /** Milliseconds since the epoch: what finished earlier goes. */
      readonly before: number;
      readonly maxBytes: number;
      /** Where the last step ended. */
      readonly after: AgeKey | undefined;
    }
  | {
      readonly kind: 'note';
      readonly taskId: string;
      readonly note: NoteKind;
      readonly text: string;
      readonly notedAt: number;
    }
  | { readonly kind: 'dropQueued'; readonly taskId: string; readonly requestHash: string }
  | { readonly kind: 'pruneNotes'; readonly before: number }
  | { readonly kind: 'touch' }
  | { readonly kind: 'probe' };

export interface RecordWrite {
  readonly kind: 'record';
  readonly taskId: string;
  readonly final: boolean;
  readonly marked: boolean;
  readonly unlessCancelled: boolean;
  readonly finishedAt: number;
  /** See TaskOrigin. */
  readonly replay: number;
  /** What the table of tasks holds of it. */
  readonly stored: string;
  readonly artifact: NewArtifact | undefined;
}

export interface NewArtifact {
  readonly id: string;
  /** What the table of artifacts holds of it. */
  readonly stored: Uint8Array<ArrayBuffer>;
  readonly outputBytes: number;
}

/** `changed`: how many tasks, or notes. `next`: of prune only, where its next step starts, if there is one. */
export interface Applied {
  readonly changed: number;
  readonly next?: AgeKey;
}

/** Applies one write; only inside a transaction. */
export function apply(tables: Tables, write: Write): Applied {
  switch (write.kind) {
    case 'record':
      return applyRecord(tables, write);
    case 'reopen':
      return applyReopen(tables, write);
    case 'published':
      return applyPublished(tables, write.ages);
    case 'prune':
      return applyPrune(tables, write);
    case 'note':
      return applyNote(tables, write);
    case 'dropQueued':
      return applyDropQueued(tables, write);
    case 'pruneNotes':
      return { changed: dropNotesBefore(tables, write.before, notesPerStep) };
    case 'touch':
      return fill(tables, 'touch', 'x');
    case 'probe':
      return fill(tables, 'probe', filler);
  }
}

function applyRecord(tables: Tables, write: Extract<Write, { kind: 'record' }>): Applied {
  const { taskId, artifact } = write;
  const age: AgeKey = [write.finishedAt, taskId];
  const earlier = find(tables, taskId);
  if (earlier !== undefined && (earlier.final || replayOf(earlier) > write.replay)) return { changed: 0 };
  if (write.unlessCancelled && findNotes(tables, taskId)?.cancelReason !== undefined) return { changed: 0 };
  if (earlier) drop(tables, earlier);
  tables.tasks.put(taskId, write.stored);
  tables.ages.put(age, '');
  if (write.marked) tables.unpublished.put(age, '');
  if (write.final) {
    dropNote(tables, [taskId, 'queued']);
    dropNote(tables, [taskId, 'cancelled']);
  }
  if (artifact) {
    tables.artifacts.put(artifact.id, artifact.stored);
    addArtifactBytes(tables, artifact.outputBytes);
  }
  return { changed: 1 };
}

function applyReopen(tables: Tables, { taskId, replay }: Extract<Write, { kind: 'reopen' }>): Applied {
  const stored = tables.tasks.get(taskId);
  const record = recordOf(stored);
  if (!record?.final || record.outcome.status !== 'failed') return { changed: 0 };
  const open = JSON.stringify(reopened(record, replay));
  tables.tasks.put(taskId, `${open}\n${JSON.stringify(receiptOf(stored))}`);
  tables.unpublished.removeSync([record.finishedAt, taskId]);
  return { changed: 1 };
}

function applyPublished(tables: Tables, ages: readonly AgeKey[]): Applied {
  return { changed: ages.filter((age) => tables.unpublished.removeSync(age)).length };
}

/** Bounds how long a step of prune keeps other writers of the directory waiting. */
const tasksPerStep = 100;

function applyPrune(tables: Tables, write: Extract<Write, { kind: 'prune' }>): Applied {
  const { before, maxBytes, after } = write;
  // The range is read whole before anything is removed: a cursor does not survive the removal of its entry.
  const from = after ? { start: after, exclusiveStart: true } : {};
  const oldest = [...tables.ages.getKeys({ ...from, limit: tasksPerStep })];
  let changed = 0;
  for (const age of oldest) {
    const [finishedAt, taskId] = age;
    if (finishedAt >= before && artifactBytes(tables) <= maxBytes) return { changed };
    if (tables.unpublished.doesExist(age)) continue;
    const record = find(tables, taskId);
    if (!record) continue;
    drop(tables, record);
    changed += 1;
  }
  const last = oldest.at(-1);
  return oldest.length === tasksPerStep && last ? { changed, next: last } : { changed };
}

/** As many as a step of `pruneNotes` drops; a step that drops fewer was the last one. */
export const notesPerStep = 100;

function applyNote(tables: Tables, write: Extract<Write, { kind: 'note' }>): Applied {
  const { taskId, note, text, notedAt } = write;
  if (find(tables, taskId)?.final) return { changed: 0 };
  putNote(tables, [taskId, note], { text, notedAt });
  return { changed: 1 };
}

function applyDropQueued(
  tables: Tables,
  { taskId, requestHash }: Extract<Write, { kind: 'dropQueued' }>,
): Applied {
  const isOfRequest = findNotes(tables, taskId)?.queuedHash === requestHash;
  return { changed: isOfRequest ? dropNote(tables, [taskId, 'queued']) : 0 };
}

/** Large enough not to fit into the crumbs of a full file. */
const filler = 'x'.repeat(64 * 1024);

function fill(tables: Tables, key: 'touch' | 'probe', value: string): Applied {
  tables.meta.put(key, value);
  return { changed: 0 };
}

function find(tables: Tables, taskId: string): TaskRecord | undefined {
  return recordOf(tables.tasks.get(taskId));
}

function drop(tables: Tables, record: TaskRecord): void {
  const { taskId, finishedAt, outcome } = record;
  tables.tasks.remove(taskId);
  tables.ages.remove([finishedAt, taskId]);
  if (outcome.status !== 'completed') return;
  const artifact = tables.artifacts.getBinary(outcome.artifact_id);
  if (artifact === undefined) return;
  const { bytes } = headOf(artifact).head;
  tables.artifacts.remove(outcome.artifact_id);
  addArtifactBytes(tables, -bytes);
}

const artifactBytes = (tables: Tables): number => Number(tables.meta.get('artifactBytes') ?? 0);

const addArtifactBytes = (tables: Tables, bytes: number): void => {
  tables.meta.put('artifactBytes', String(artifactBytes(tables) + bytes));
};
