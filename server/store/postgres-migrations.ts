import type { Sql } from 'postgres';

/**
 * Each is run once, in this order; its place, from 1 on, is the version of the schema after it. One that was
 * released is never changed.
 */
const migrations: readonly string[] = [
  `
  -- The record and the receipt are JSON in text: jsonb refuses \\u0000 and lone surrogates.
  create table tasks (
    task_id text collate "C" primary key,
    final boolean not null,
    finished_at bigint not null,
    record text not null,
    receipt text not null,
    artifact_id text collate "C",
    output_id uuid,
    output_bytes bigint not null
  );
  create index tasks_by_age on tasks (finished_at, task_id) include (output_bytes);
  create index tasks_by_artifact on tasks (artifact_id) where artifact_id is not null;

  -- The outputs' bytes as they were given, in parts, so that to send or to read one keeps no event loop for long.
  create table outputs (
    output_id uuid,
    part integer,
    bytes bytea not null,
    primary key (output_id, part)
  );

  -- The outputs that are being sent, ahead of their records.
  create table uploads (
    output_id uuid primary key,
    begun_at timestamptz not null default now()
  );

  -- The tasks whose event is not confirmed. A table of its own, so that to clear a mark rewrites no record.
  create table unpublished (
    task_id text collate "C" primary key,
    finished_at bigint not null
  );
  create index unpublished_by_age on unpublished (finished_at, task_id);

  -- What is noted on tasks that have not ended for good; the text is JSON, too.
  create table notes (
    task_id text collate "C",
    kind text,
    text text not null,
    noted_at bigint not null,
    primary key (task_id, kind)
  );
  create index notes_by_age on notes (noted_at);

  create table leases (
    task_id text collate "C" primary key,
    owner text not null,
    request_hash text not null,
    expires_at timestamptz not null
  );

  create table probe (id integer primary key, filler bytea not null);
  alter table probe alter filler set storage external;
  `,
  `
  -- The life of the task, so that what an execution of an earlier one comes to is not recorded in it.
  alter table tasks add column replay integer not null default 0;
  `,
];

/** The version that this release reads and writes. */
export const schemaVersion = migrations.length;

/**
 * Brings the schema to this release's version, in one transaction; nodes that start together wait for each other.
 * @param sql a single connection. Without an end of the transaction on it, the server drops what was begun.
 * @throws SchemaMismatch when it is of a newer version.
 */
export async function migrate(sql: Sql, schema: string): Promise<void> {
  await sql`begin`;
  await sql`set local statement_timeout = 0`;
  await sql`select pg_advisory_xact_lock(${lockClass}, hashtext(${schema}))`;
  const version = await versionOf(sql, schema);
  if (version > schemaVersion) throw new SchemaMismatch(schema, version);
  for (const [at, migration] of migrations.entries()) {
    if (at < version) continue;
    await sql.unsafe(migration);
    await sql`insert into migrations (version) values (${at + 1})`;
  }
  await sql`commit`;
}

/** The schema was made by a newer release. */
export class SchemaMismatch extends Error {
  readonly code = 'store_format_mismatch';
  constructor(schema: string, found: number) {
    super(
      `the schema ${schema} has version ${found}, this release knows ${schemaVersion} at most: ` +
        'run the release that made it, or point DATABASE_URL at another database',
    );
    this.name = 'SchemaMismatch';
  }
}

/** Keeps the lock apart from those of others in the same database; any number does. */
const lockClass = 1_936_551_029;

async function versionOf(sql: Sql, schema: string): Promise<number> {
  const [found] = await sql<{ schema: boolean; migrations: boolean }[]>`
    select to_regnamespace(${schema}) is not null as schema, to_regclass('migrations') is not null as migrations`;
  // Where it is there, the right to make it is not asked for.
  if (!found?.schema) await sql`create schema ${sql(schema)}`;
  if (!found?.migrations) {
    await sql`create table migrations (version integer primary key, applied_at timestamptz not null default now())`;
  }
  const [row] = await sql<{ version: number }[]>`select coalesce(max(version), 0) as version from migrations`;
  return row?.version ?? 0;
}
