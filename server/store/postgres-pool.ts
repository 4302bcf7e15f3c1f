import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres, { type Sql } from 'postgres';

export interface PoolOptions {
  /** `postgres://user:password@host:5432/database?sslmode=verify-full`. */
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
}

export const poolDefaults = { schema: 'worker_service', connections: 6, timeoutMs: 5_000 };

export interface Pool {
  readonly sql: Sql;
  /** Names the server in messages; without the account. */
  readonly place: string;
  /** Waits for what was sent, but not longer than this; what was not sent fails. */
  close(graceMs: number): Promise<void>;
}

/** Connections on demand, on sockets of our own. A pool that lost a connection is to be replaced. */
export function openPool(options: PoolOptions): Pool {
  const { url, schema, connections, timeoutMs } = { ...poolDefaults, ...options };
  const sockets = openSockets();
  const sql = postgres(url, {
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
    ...{ socket: sockets.open },
  });
  return {
    sql,
    place: `postgresql at ${sql.options.host}:${sql.options.port}/${sql.options.database}`,
    async close(graceMs) {
      await sql.end({ timeout: graceMs / 1_000 });
      sockets.close();
    },
  };
}

/** What the library says of where to connect to. */
interface Place {
  readonly host: readonly string[];
  readonly port: readonly number[];
  /** Of a socket in the file system. */
  readonly path: string | false;
}

/** How long a pool waits after a connection that the other side closed without a word. */
const pauseMs = 100;

/**
 * The library (postgres 3.4) connects again at once and for ever where something accepts and closes, as a proxy
 * without a server behind it does; and it leaves its socket to a server that no longer answers.
 */
function openSockets(): { open(place: Place): Promise<Socket>; close(): void } {
  const sockets = new Set<Socket>();
  let phase: 'open' | 'closed' = 'open';

  return {
    async open({ host: [host = ''], port: [port = 0], path }) {
      if (closedWithoutWord(sockets)) await sleep(pauseMs);
      if (phase === 'closed') throw new Error('the pool is closed');
      const socket = new Socket();
      sockets.add(socket);
      // The library listens for its errors only after this function.
      setImmediate(() => {
        if (!socket.destroyed) path ? socket.connect(path) : socket.connect(port, host);
      });
      // The name for the certificate to be checked against.
      return Object.assign(socket, { host, port });
    },
    close() {
      phase = 'closed';
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Forgets the sockets that are closed. */
function closedWithoutWord(sockets: Set<Socket>): boolean {
  const closed = [...sockets].filter((socket) => socket.destroyed);
  for (const socket of closed) sockets.delete(socket);
  return closed.some((socket) => socket.bytesRead === 0);
}
