import { randomUUID } from 'node:crypto';
import type { PendingQuery, Sql } from 'postgres';
import type { Claim, Leases } from '../leases.js';
import type { Log } from '../log.js';
import { requireKey } from './key.js';
import { type DatabaseOptions, openDatabase } from './postgres-database.js';

export interface PostgresLeasesOptions extends Pick<DatabaseOptions, 'url' | 'schema' | 'probeMs'> {
  /** The life of this process: no other process has it, nor this one after a restart. @default a random UUID */
  readonly owner?: string;
  /** How long a lease lasts that is not renewed, in milliseconds by the server's clock. @default 10000 */
  readonly leaseMs?: number;
  /** How often this process renews what it holds, in milliseconds. @default a fifth of `leaseMs` */
  readonly heartbeatMs?: number;
  /** Hears of leases that were lost. */
  readonly log?: Pick<Log, 'warn'>;
}

/** A lease of this process; another claim of the same task makes another object. */
interface Held {
  cancelRequested: boolean;
}

/**
 * The leases of processes that share a PostgreSQL store. They have connections of their own, so that no renewal
 * waits behind large outputs.
 * @throws StoreUnavailable when the server does not answer, SchemaMismatch when a newer release made the schema.
 */
export async function openPostgresLeases(options: PostgresLeasesOptions): Promise<Leases> {
  const { leaseMs = 10_000, heartbeatMs = leaseMs / 5, owner = randomUUID(), log } = options;
  // An attempt to renew that is not answered must leave time for another one.
  const timeoutMs = Math.max(1_000, leaseMs / 5);
  const database = await openDatabase({ ...options, timeoutMs, connections: 2 });
  const held = new Map<string, Held>();
  const releases = new Map<string, Promise<void>>();
  let nextHeartbeat: NodeJS.Timeout | undefined;
  let closed: Promise<void> | undefined;

  const leases: Leases = {
    onCancelRequested: undefined,

    async claim(taskId, requestHash) {
      requireKey(taskId);
      // It would take away the lease that is claimed now.
      await releases.get(taskId);
      const claim = await ask(taskId, requestHash);
      if (claim === 'granted') {
        if (!held.has(taskId)) held.set(taskId, { cancelRequested: false });
        beatLater();
      }
      return claim;
    },

    release(taskId) {
      if (!held.delete(taskId)) return releases.get(taskId) ?? Promise.resolve();
      const released = giveBack(taskId).finally(() => releases.delete(taskId));
      releases.set(taskId, released);
      return released;
    },

    async isHeld(taskId, otherThan = '') {
      requireKey(taskId);
      const rows = await database.run(
        (sql) => sql`
          select from leases where task_id = ${taskId} and expires_at > now() and request_hash <> ${otherThan}`,
      );
      return rows.length > 0;
    },

    // The heartbeat of whoever holds it reads the note in the store.
    async requestCancel() {},

    close() {
      closed ??= end();
      return closed;
    },
  };
  return leases;

  async function ask(taskId: string, requestHash: string): Promise<Claim> {
    for (;;) {
      const granted = await database.run(
        (sql) => sql`
          insert into leases (task_id, owner, request_hash, expires_at)
          values (${taskId}, ${owner}, ${requestHash}, now() + ${leaseMs}::float8 * interval '1 ms')
          on conflict (task_id) do update set
            owner = excluded.owner, request_hash = excluded.request_hash, expires_at = excluded.expires_at
          where leases.expires_at <= now() or leases.owner = excluded.owner
          returning task_id`,
      );
      if (granted.length > 0) return 'granted';
      const [other] = await database.run(
        (sql) => sql<{ request_hash: string }[]>`select request_hash from leases where task_id = ${taskId}`,
      );
      if (other) return other.request_hash === requestHash ? 'held' : 'conflict';
      // It was given back between the two statements.
    }
  }

  async function giveBack(taskId: string): Promise<void> {
    await database
      .run(
        (sql) => sql`
          delete from leases where task_id = ${taskId} and owner = ${owner} and ${withoutFsync(sql)}`,
      )
      // Then it runs out, which is what leases are for.
      .catch(() => undefined);
  }

  function beatLater(): void {
    nextHeartbeat ??= setTimeout(() => void beat(), heartbeatMs).unref();
  }

  async function beat(): Promise<void> {
    const renewing = new Map(held);
    try {
      if (renewing.size > 0) learn(renewing, await renew([...renewing.keys()]));
    } catch (error) {
      const { message } = error as Error;
      log?.warn({ event: 'leases_not_renewed', tasks: renewing.size, error: message });
    }
    nextHeartbeat = undefined;
    if (held.size > 0 && !closed) beatLater();
  }

  function renew(taskIds: readonly string[]): Promise<readonly Renewed[]> {
    return database.run(
      (sql) => sql<Renewed[]>`
        update leases set expires_at = now() + ${leaseMs}::float8 * interval '1 ms'
        where task_id = any (string_to_array(${taskIds.join(' ')}, ' ')) and owner = ${owner} and ${withoutFsync(sql)}
        returning task_id, exists (
          select from notes where notes.task_id = leases.task_id and kind = 'cancelled'
        ) as cancelled`,
    );
  }

  function learn(renewing: ReadonlyMap<string, Held>, renewed: readonly Renewed[]): void {
    const cancelled = new Map(renewed.map((row) => [row.task_id, row.cancelled]));
    for (const [taskId, lease] of renewing) {
      // It may have been given back, and even claimed again, meanwhile.
      if (held.get(taskId) !== lease) continue;
      if (!cancelled.has(taskId)) {
        held.delete(taskId);
        log?.warn({ event: 'lease_lost', task_id: taskId });
      } else if (cancelled.get(taskId) && !lease.cancelRequested) {
        lease.cancelRequested = true;
        leases.onCancelRequested?.(taskId);
      }
    }
  }

  async function end(): Promise<void> {
    clearTimeout(nextHeartbeat);
    await Promise.all([...held.keys()].map((taskId) => leases.release(taskId)));
    await database.close();
  }
}

interface Renewed {
  readonly task_id: string;
  readonly cancelled: boolean;
}

/**
 * A condition that is true, and lets the statement return before its commit is on disk: if the server then
 * crashes, a lease has its earlier end, which costs time and no task. To claim waits for the disk.
 */
const withoutFsync = (sql: Sql): PendingQuery<object[]> =>
  sql`set_config('synchronous_commit', 'off', true) = 'off'`;
