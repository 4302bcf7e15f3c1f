import type { PendingQuery, Sql } from 'postgres';
import type { Receipt } from '../../contracts/outcome.js';
import { recordJson } from '../outcome-json.js';
import { isKey, requireKey } from './key.js';
import { reopened, replayOf } from './lives.js';
import { type DatabaseOptions, openDatabase } from './postgres-database.js';
import { readOutput, type SentOutput, sendOutput } from './postgres-outputs.js';
import { pruneDatabase } from './postgres-prune.js';
import type { ArtifactStore, TaskRecord } from './store.js';

export interface PostgresStoreOptions extends DatabaseOptions {
  /** Whether final outcomes are marked `unpublished`: not, when nobody publishes them. @default true */
  readonly outbox?: boolean;
}

/**
 * Opens the store that many nodes share. Each write is one statement, so one round trip and one transaction,
 * but for large outputs. Why so: `docs/decisions/0006-postgresql-store.md`.
 * @throws StoreUnavailable when the server does not answer, SchemaMismatch when a newer release made the schema.
 */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<ArtifactStore> {
  const { outbox = true } = options;
  const database = await openDatabase(options);
  const { run } = database;

  /** What is not a key was never written, and the server would refuse some of it. */
  const lookUp = async <Row extends object>(
    id: string,
    statement: (sql: Sql) => PendingQuery<Row[]>,
  ): Promise<readonly Row[]> => run(isKey(id) ? statement : nothing<Row>);

  const find = async (taskId: string): Promise<TaskRecord | undefined> => {
    const [row] = await lookUp(
      taskId,
      (sql) => sql<{ record: string }[]>`select record from tasks where task_id = ${taskId}`,
    );
    return row && (JSON.parse(row.record) as TaskRecord);
  };

  return {
    find,

    async record(record, receipt, output, { unlessCancelled = false } = {}) {
      requireRecordable(record, output);
      const kept = await database.together(async (run) => {
        const sent = output && (await sendOutput(run, output));
        return run(recording(record, receipt, sent, { marked: record.final && outbox, unlessCancelled }));
      });
      return kept.length > 0;
    },

    async receipt(taskId) {
      const [row] = await lookUp(
        taskId,
        (sql) => sql<{ receipt: string }[]>`select receipt from tasks where task_id = ${taskId}`,
      );
      return row && (JSON.parse(row.receipt) as Receipt);
    },

    async artifact(artifactId) {
      const [row] = await lookUp(
        artifactId,
        (sql) => sql<{ record: string; output_id: string; output_bytes: string; first: Buffer }[]>`
          select record, output_id, output_bytes, bytes as first from tasks join outputs using (output_id)
          where artifact_id = ${artifactId} and part = 0`,
      );
      if (!row) return undefined;
      const { taskId, domain, finishedAt } = JSON.parse(row.record) as TaskRecord;
      const head = { outputId: row.output_id, first: row.first, bytes: Number(row.output_bytes) };
      const output = await readOutput(run, head);
      return output && { artifactId, taskId, domain, createdAt: finishedAt, output };
    },

    async noteQueued(taskId, requestHash) {
      await run(noting('queued', taskId, requestHash));
    },

    async dropQueued(taskId, requestHash) {
      requireKey(taskId);
      const text = JSON.stringify(requestHash);
      await run(
        (sql) => sql`delete from notes where task_id = ${taskId} and kind = 'queued' and text = ${text}`,
      );
    },

    async noteCancelled(taskId, reason) {
      await run(noting('cancelled', taskId, reason));
    },

    async pending(taskId) {
      // A note that came in while the final outcome was written may have been missed by it.
      const notes = await lookUp(
        taskId,
        (sql) => sql<{ kind: 'queued' | 'cancelled'; text: string }[]>`
          select kind, text from notes
          where task_id = ${taskId} and not exists (select from tasks where task_id = ${taskId} and final)`,
      );
      if (notes.length === 0) return undefined;
      const names = { queued: 'queuedHash', cancelled: 'cancelReason' } as const;
      return Object.fromEntries(notes.map(({ kind, text }) => [names[kind], JSON.parse(text) as string]));
    },

    async unpublished(limit, before) {
      const rows = await run(
        (sql) => sql<{ record: string }[]>`
          select record from unpublished join tasks using (task_id)
          where unpublished.finished_at < ${Math.ceil(before ?? endOfTime)}
          order by unpublished.finished_at, task_id limit ${limit}`,
      );
      return rows.map(({ record }) => JSON.parse(record) as TaskRecord);
    },

    async isPublished(taskId) {
      const rows = await lookUp(
        taskId,
        (sql) => sql`
          select from tasks where task_id = ${taskId} and final
            and not exists (select from unpublished where task_id = ${taskId})`,
      );
      return rows.length > 0;
    },

    async reopen(taskId, replay = 0) {
      const stored = await find(taskId);
      if (stored?.final !== true || stored.outcome.status !== 'failed') return false;
      const record = JSON.stringify(reopened(stored, replay));
      // Only the end that was read: another process may have reopened the task, and ended it again. What notes
      // there are came while that end was written, and would hold for the new life.
      const rows = await run(
        (sql) => sql`
          with reopened as (
            update tasks set final = false, record = ${record}, replay = ${replay}::integer
            where task_id = ${taskId} and final and finished_at = ${stored.finishedAt} and artifact_id is null
            returning task_id
          ), unmarked as (
            delete from unpublished using reopened where unpublished.task_id = reopened.task_id
          ), unnoted as (
            delete from notes using reopened where notes.task_id = reopened.task_id
          )
          select from reopened`,
      );
      return rows.length > 0;
    },

    async markPublished(records) {
      const ids = records.map(({ taskId }) => requireKey(taskId)).join(' ');
      const times = records.map(({ finishedAt }) => finishedAt).join(' ');
      // Another end of the task, after it was reopened, keeps its mark. In one order everywhere, or two callers
      // could wait for each other.
      await run(
        (sql) => sql`
          with published as (
            select task_id, finished_at::bigint from unnest(
              string_to_array(${ids}, ' '), string_to_array(${times}, ' ')
            ) as published (task_id, finished_at)
          ), marked as (
            select task_id, finished_at from unpublished join published using (task_id, finished_at)
            order by task_id for update of unpublished
          )
          delete from unpublished using marked
          where unpublished.task_id = marked.task_id and unpublished.finished_at = marked.finished_at`,
      );
    },

    prune: (now, { maxAgeMs, maxBytes }) => pruneDatabase(database, now - maxAgeMs, maxBytes),
    state: database.state,
    close: database.close,
  };
}

/** Milliseconds since the epoch, in the year 287396. */
const endOfTime = Number.MAX_SAFE_INTEGER;

const nothing = <Row extends object>(sql: Sql): PendingQuery<Row[]> => sql<Row[]>`select where false`;

function requireRecordable({ taskId, outcome }: TaskRecord, output: Uint8Array | undefined): void {
  requireKey(taskId);
  if (!output) return;
  if (outcome.status !== 'completed') throw new TypeError(`a failed task has no output: ${taskId}`);
  requireKey(outcome.artifact_id);
}

type Statement = (sql: Sql) => PendingQuery<object[]>;

function recording(
  record: TaskRecord,
  receipt: Receipt,
  output: SentOutput | undefined,
  { marked, unlessCancelled }: { readonly marked: boolean; readonly unlessCancelled: boolean },
): Statement {
  const { taskId, final, finishedAt, outcome } = record;
  const artifactId = output && outcome.status === 'completed' ? outcome.artifact_id : null;
  const { outputId = null, first = null, bytes = 0 } = output ?? {};
  return (sql) => sql`
    with kept as (
      insert into tasks (task_id, final, finished_at, record, receipt, artifact_id, output_id, output_bytes, replay)
      select ${taskId}, ${final}::boolean, ${finishedAt}::bigint, ${recordJson(record)}, ${JSON.stringify(receipt)},
        ${artifactId}, ${outputId}::uuid, ${bytes}::bigint, ${replayOf(record)}::integer
      where not (${unlessCancelled} and exists (
        select from notes where task_id = ${taskId} and kind = 'cancelled'
      ))
      on conflict (task_id) do update set
        final = excluded.final, finished_at = excluded.finished_at, record = excluded.record,
        receipt = excluded.receipt, artifact_id = excluded.artifact_id, output_id = excluded.output_id,
        output_bytes = excluded.output_bytes, replay = excluded.replay
      where not tasks.final and tasks.replay <= excluded.replay
      returning task_id, finished_at, final, output_id
    ), stored as (
      insert into outputs (output_id, part, bytes)
      select output_id, 0, ${first}::bytea from kept where output_id is not null
    ), sent as (
      delete from uploads using kept where uploads.output_id = kept.output_id
    ), ended as (
      delete from notes using kept where final and notes.task_id = kept.task_id
    ), marked as (
      insert into unpublished (task_id, finished_at) select task_id, finished_at from kept where ${marked}
    )
    select from kept`;
}

function noting(kind: 'queued' | 'cancelled', taskId: string, text: string): Statement {
  requireKey(taskId);
  return (sql) => sql`
    insert into notes (task_id, kind, text, noted_at)
    select ${taskId}, ${kind}, ${JSON.stringify(text)}, ${Date.now()}::bigint
    where not exists (select from tasks where task_id = ${taskId} and final)
    on conflict (task_id, kind) do update set text = excluded.text, noted_at = excluded.noted_at`;
}
