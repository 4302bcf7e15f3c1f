import postgres, { type PendingQuery, type Sql } from 'postgres';
import { migrate, SchemaMismatch } from './postgres-migrations.js';
import { type ArtifactStore, StoreUnavailable } from './store.js';

export interface DatabaseOptions {
  /** `postgres://user:password@host:5432/database?sslmode=verify-full`, or several hosts with commas. */
  readonly url: string;
  /** The schema that holds all tables; made when it is not there. @default worker_service */
  readonly schema?: string;
  /** Most connections; each is made when it is needed. @default 6 */
  readonly connections?: number;
  /**
   * How long the server may take over one statement, in milliseconds; the answer may take a second longer, the
   * way included. @default 5000
   */
  readonly timeoutMs?: number;
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
 * @throws StoreUnavailable when the server does not answer, SchemaMismatch when a newer release made the schema.
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { timeoutMs = 5_000, probeMs = 2_000, schema = 'worker_service' } = options;
  const limitMs = timeoutMs + 1_000;
  let pool = openPool(options);
  const place = placeOf(pool);
  const healthy = { ok: true, detail: place };
  let health = { ...healthy, since: Date.now() };
  let phase: 'open' | 'closing' | 'closed' = 'open';
  let closed: Promise<void> | undefined;
  let nextWatch: NodeJS.Timeout | undefined;
  const underWay = new Set<Promise<unknown>>();

  await prepare({ ...options, connections: 1 }, schema, place);
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
      return await within(limitMs, statement(used));
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
  function replace(used: Sql): void {
    if (pool !== used) return;
    pool = openPool(options);
    void used.end({ timeout: limitMs / 1_000 });
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
    await pool.end({ timeout: 1 });
    phase = 'closed';
  }
}

/** Long enough to wait for another node that migrates. */
const migrationLimitMs = 60_000;

async function prepare(options: DatabaseOptions, schema: string, place: string): Promise<void> {
  const connection = openPool(options);
  try {
    await within(migrationLimitMs, migrate(connection, schema));
  } catch (cause) {
    if (cause instanceof SchemaMismatch) throw cause;
    throw new StoreUnavailable(`${place} cannot be opened: ${messageOf(cause)}`, { cause });
  } finally {
    await connection.end({ timeout: 0 });
  }
}

function openPool(options: DatabaseOptions): Sql {
  const { url, schema = 'worker_service', connections = 6, timeoutMs = 5_000 } = options;
  return postgres(url, {
    max: connections,
    connect_timeout: timeoutMs / 1_000,
    // Whether to try again is decided by the callers, who hear of the failure at once.
    backoff: () => 0,
    // Nothing here passes arrays, the only use of that round trip.
    fetch_types: false,
    onnotice: () => {},
    connection: {
      application_name: 'worker-service',
      search_path: schema,
      statement_timeout: timeoutMs,
      // What a record means by durable; a server's own default may be less.
      synchronous_commit: 'on',
      // "A final record stands" is an `on conflict … where`, which waits for rivals at this level and fails at others.
      default_transaction_isolation: 'read committed',
    },
  });
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

const isOfServer = (error: unknown): boolean => !ofOneStatement.test(codeOf(error));

/** Also when the server itself ended it: its severity then is FATAL or PANIC. */
const isOfConnection = (error: unknown): boolean =>
  !(error instanceof postgres.PostgresError) || error.severity !== 'ERROR';

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : '';

/** An attempt at several addresses fails with a code and no message. */
const messageOf = (error: unknown): string =>
  (error instanceof Error && error.message) || codeOf(error) || String(error);

function placeOf({ options: { host, port, database } }: Sql): string {
  return `postgresql at ${host.map((name, at) => `${name}:${port[at]}`).join(',')}/${database}`;
}
