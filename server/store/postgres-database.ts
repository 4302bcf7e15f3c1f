import postgres, { type PendingQuery, type Sql } from 'postgres';
import { migrate, SchemaMismatch } from './postgres-migrations.js';
import { openPool, type Pool, type PoolOptions, poolDefaults } from './postgres-pool.js';
import { type ArtifactStore, StoreRefused, StoreUnavailable } from './store.js';

export interface DatabaseOptions extends PoolOptions {
  /** How often the server is asked whether it is there, in milliseconds. @default 2000 */
  readonly probeMs?: number;
}

export type Run = <Row extends object>(
  statement: (sql: Sql) => PendingQuery<Row[]>,
) => Promise<readonly Row[]>;

/** A pool of connections to a database whose schema is up to date. */
export interface Database {
  /**
   * Runs one statement, which is one transaction. What is run at the same time shares connections and their
   * round trips.
   * @throws StoreUnavailable when it failed or was not answered in time: then it may have been done or not.
   */
  run: Run;
  /** Runs several statements, each as `run` does, with what is between them; `close` waits for all of it. */
  together<T>(work: (run: Run) => Promise<T>): Promise<T>;
  state: ArtifactStore['state'];
  /** Waits for what was run before, at most as long as that may take. */
  close(): Promise<void>;
}

/**
 * Connects and brings the schema up to date.
 * @throws StoreUnavailable when the server does not answer, StoreRefused when it does not let us in, SchemaMismatch
 *   when a newer release made the schema.
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { timeoutMs, probeMs, schema } = { ...poolDefaults, probeMs: 2_000, ...options };
  // The way to the server and back is not in its own limit.
  const limitMs = timeoutMs + 1_000;
  let pool = openPool(options);
  const { place } = pool;
  const healthy = { ok: true, detail: place };
  let health = { ...healthy, since: Date.now() };
  let phase: 'open' | 'closing' | 'closed' = 'open';
  let closed: Promise<void> | undefined;
  let nextWatch: NodeJS.Timeout | undefined;
  const underWay = new Set<Promise<unknown>>();

  await prepare({ ...options, connections: 1 }, schema);
  watchLater();

  return {
    run: (statement) => together((ask) => ask(statement)),
    together,
    state: () => (phase === 'open' ? health : { ...health, ok: false, detail: `${place} is ${phase}` }),
    close() {
      closed ??= end();
      return closed;
    },
  };

  async function together<T>(work: (run: Run) => Promise<T>): Promise<T> {
    if (phase !== 'open') throw new StoreUnavailable(`${place} is ${phase}`);
    const done = work(ask);
    underWay.add(done);
    try {
      return await done;
    } finally {
      underWay.delete(done);
    }
  }

  async function ask<Row extends object>(
    statement: (sql: Sql) => PendingQuery<Row[]>,
  ): Promise<readonly Row[]> {
    const used = pool;
    try {
      return await within(limitMs, statement(used.sql));
    } catch (cause) {
      if (isOfConnection(cause)) replace(used);
      const detail = `${place}: ${messageOf(cause)}`;
      if (isOfServer(cause)) health = { ok: false, since: health.ok ? Date.now() : health.since, detail };
      throw new StoreUnavailable(detail, { cause });
    }
  }

  /**
   * A connection on which nothing comes back would keep all later statements that share it waiting, too; and one
   * that was lost while something was to be written may connect again with those bytes first (postgres 3.4).
   */
  function replace(used: Pool): void {
    if (pool !== used) return;
    pool = openPool(options);
    void used.close(limitMs);
  }

  /** Finds a server that is lost while nobody asks it anything, and the end of a failure. */
  async function watch(): Promise<void> {
    try {
      await together((run) => run(health.ok ? answers : takesWrites));
      if (!health.ok) health = { ...healthy, since: Date.now() };
    } catch {
      // It is in `health` already.
    }
    if (phase === 'open') watchLater();
  }

  function watchLater(): void {
    nextWatch = setTimeout(() => void watch(), probeMs).unref();
  }

  async function end(): Promise<void> {
    phase = 'closing';
    clearTimeout(nextWatch);
    // The pool drops what it has not sent when it ends.
    await Promise.allSettled(underWay);
    await pool.close(1_000);
    phase = 'closed';
  }
}

/** Long enough to wait for another node that migrates. */
const migrationLimitMs = 60_000;

async function prepare(options: PoolOptions, schema: string): Promise<void> {
  const connection = openPool(options);
  try {
    await within(migrationLimitMs, migrate(connection.sql, schema));
  } catch (cause) {
    if (cause instanceof SchemaMismatch) throw cause;
    const detail = `${connection.place} cannot be opened: ${messageOf(cause)}`;
    throw ofWhoAsks.test(codeOf(cause))
      ? new StoreRefused(detail, { cause })
      : new StoreUnavailable(detail, { cause });
  } finally {
    await connection.close(0);
  }
}

const answers = (sql: Sql): PendingQuery<object[]> => sql`select 1`;

/** Large enough not to fit into the crumbs of a full disk. */
const filler = Buffer.alloc(64 * 1024, 'x');

const takesWrites = (sql: Sql): PendingQuery<object[]> => sql`
  insert into probe (id, filler) values (1, ${filler}) on conflict (id) do update set filler = excluded.filler`;

/** The statement was not answered in time. */
class NoAnswer extends Error {}

async function within<T>(limitMs: number, work: PromiseLike<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new NoAnswer(`no answer within ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Classes of SQLSTATE that speak of one statement (its data, a constraint, a lost race), not of the server. */
const ofOneStatement = /^(22|23|40)/;

/** Invalid authorization, and a database that does not exist: it does not get better by waiting. */
const ofWhoAsks = /^(28|3D)/;

const isOfServer = (error: unknown): boolean => !ofOneStatement.test(codeOf(error));

/** Also when the server itself ended it: its severity then is FATAL or PANIC. */
const isOfConnection = (error: unknown): boolean =>
  !(error instanceof postgres.PostgresError) || error.severity !== 'ERROR';

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : '';

/** An attempt at several addresses fails with a code and no message. */
const messageOf = (error: unknown): string =>
  (error instanceof Error && error.message) || codeOf(error) || String(error);
