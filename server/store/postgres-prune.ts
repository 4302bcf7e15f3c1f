import type { Database } from './postgres-database.js';

/** Orders tasks by age: when they finished (ms since the epoch, as PostgreSQL writes a bigint), then their id. */
interface AgeKey {
  readonly finished_at: string;
  readonly task_id: string;
}

/** Bounds how long a step keeps locks. */
const rowsPerStep = 100;

/**
 * Drops what is older than `time` and the oldest until the artifacts fit, see `ArtifactStore.prune`. Several
 * nodes may do so at once: the bound goes by what there is, and each drops what no other is dropping.
 */
export async function pruneDatabase(database: Database, time: number, maxBytes: number): Promise<number> {
  // The column takes no fractions.
  const before = Math.ceil(time);
  const dropped = await dropTasks(database, later(ageBound(before), await sizeBound(database, maxBytes)));
  await dropNotes(database, before);
  await dropLeftovers(database);
  return dropped;
}

const ageBound = (before: number): AgeKey => ({ finished_at: String(before), task_id: '' });

/** The oldest task that may stay, when artifacts are to take at most `maxBytes`. Unpublished ones stay anyhow. */
async function sizeBound(database: Database, maxBytes: number): Promise<AgeKey> {
  const [total] = await database.run(
    (sql) => sql<{ bytes: string }[]>`select coalesce(sum(output_bytes), 0) as bytes from tasks`,
  );
  if (Number(total?.bytes) <= maxBytes) return ageBound(0);
  const [oldest] = await database.run(
    (sql) => sql<AgeKey[]>`
      with published as (
        select finished_at, task_id, sum(output_bytes) over (order by finished_at desc, task_id desc) as bytes
        from tasks where not exists (select from unpublished where unpublished.task_id = tasks.task_id)
      ), kept as (
        select coalesce(sum(output_bytes), 0) as bytes from tasks join unpublished using (task_id)
      )
      select finished_at, task_id from published, kept where published.bytes + kept.bytes <= ${maxBytes}
      order by finished_at, task_id limit 1`,
  );
  return oldest ?? ageBound(Number.MAX_SAFE_INTEGER);
}

const later = (a: AgeKey, b: AgeKey): AgeKey => {
  const order = Number(a.finished_at) - Number(b.finished_at);
  return order > 0 || (order === 0 && a.task_id > b.task_id) ? a : b;
};

async function dropTasks(database: Database, bound: AgeKey): Promise<number> {
  let dropped = 0;
  let after: AgeKey | undefined = { finished_at: String(Number.MIN_SAFE_INTEGER), task_id: '' };
  while (after) {
    const { finished_at, task_id }: AgeKey = after;
    const step: readonly AgeKey[] = await database.run(
      (sql) => sql<AgeKey[]>`
        with due as (
          select finished_at, task_id from tasks
          where (finished_at, task_id) > (${finished_at}::bigint, ${task_id})
            and (finished_at, task_id) < (${bound.finished_at}::bigint, ${bound.task_id})
            and not exists (select from unpublished where unpublished.task_id = tasks.task_id)
          order by finished_at, task_id limit ${rowsPerStep} for update skip locked
        ), dropped as (
          delete from tasks using due where tasks.task_id = due.task_id
          returning tasks.task_id, tasks.output_id, tasks.final
        ), emptied as (
          delete from outputs using dropped where outputs.output_id = dropped.output_id
        ), noted as (
          delete from notes using dropped where final and notes.task_id = dropped.task_id
        )
        select finished_at, task_id from due order by finished_at, task_id`,
    );
    dropped += step.length;
    after = step.length === rowsPerStep ? step.at(-1) : undefined;
  }
  return dropped;
}

async function dropNotes(database: Database, before: number): Promise<void> {
  let dropped: number;
  do {
    const step = await database.run(
      (sql) => sql`
        with due as (
          select task_id, kind from notes where noted_at < ${before}
          order by noted_at limit ${rowsPerStep} for update skip locked
        )
        delete from notes using due where notes.task_id = due.task_id and notes.kind = due.kind
        returning notes.task_id`,
    );
    dropped = step.length;
  } while (dropped === rowsPerStep);
}

/** What processes left that died: leases that ran out long ago, and outputs whose record never came. */
async function dropLeftovers(database: Database): Promise<void> {
  await database.run((sql) => sql`delete from leases where expires_at < now() - interval '1 hour'`);
  await database.run(
    (sql) => sql`
      with dropped as (delete from uploads where begun_at < now() - interval '1 hour' returning output_id)
      delete from outputs using dropped where outputs.output_id = dropped.output_id`,
  );
}
