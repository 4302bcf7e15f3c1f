import type { Config } from '../config/schema.js';
import { PrimaryLeases } from './cluster/primary-leases.js';
import { type Leases, LocalLeases } from './leases.js';
import type { Log } from './log.js';
import type { Seat } from './seat.js';
import { openLmdbStore } from './store/lmdb.js';
import { openPostgresStore } from './store/postgres.js';
import { openPostgresLeases } from './store/postgres-leases.js';
import { type ArtifactStore, StoreUnavailable } from './store/store.js';

export interface StoreParts {
  readonly config: Config;
  readonly log: Log;
  readonly outbox: boolean;
  readonly keep: <T extends { close(): Promise<void> }>(part: T) => T;
  readonly seat: Seat | undefined;
  readonly stop: AbortSignal | undefined;
}

/** PostgreSQL where it is configured, which many nodes share; else the embedded store, which a node's workers share. */
export async function openStore({
  config: { store: options },
  log,
  outbox,
  keep,
  seat,
  stop,
}: StoreParts): Promise<{ store: ArtifactStore; leases: Leases }> {
  const { database_url: url, lease_ms: leaseMs, directory } = options;
  if (url !== undefined) {
    const store = keep(await whenItAnswers(log, stop, () => openPostgresStore({ url, outbox })));
    const openLeases = () => openPostgresLeases({ url, leaseMs, log });
    return { store, leases: keep(await whenItAnswers(log, stop, openLeases)) };
  }
  const store = keep(await openLmdbStore({ directory, outbox, shared: seat !== undefined }));
  return { store, leases: keep(seat === undefined ? new LocalLeases() : new PrimaryLeases(seat.link)) };
}

/** A database that starts beside this service may be a little later. */
async function whenItAnswers<T>(log: Log, stop: AbortSignal | undefined, open: () => Promise<T>): Promise<T> {
  const until = performance.now() + DATABASE_START_MS;
  for (;;) {
    try {
      return await open();
    } catch (error) {
      const isOver = stop?.aborted === true || performance.now() > until;
      if (!(error instanceof StoreUnavailable) || isOver) throw error;
      log.warn({ event: 'store_not_there_yet', error: error.message });
      await new Promise((resolve) => setTimeout(resolve, DATABASE_RETRY_MS));
    }
  }
}

const DATABASE_START_MS = 60_000;
const DATABASE_RETRY_MS = 1_000;

/** Removes what is too old or too much, again and again, until it is closed. */
export function pruneRegularly(config: Config, store: ArtifactStore, log: Log) {
  const { retention_seconds, max_bytes, prune_interval_seconds } = config.store;
  const limits = { maxAgeMs: retention_seconds * 1000, maxBytes: max_bytes };
  let running: Promise<void> = Promise.resolve();
  const prune = async () => {
    try {
      const dropped = await store.prune(Date.now(), limits);
      if (dropped > 0) log.info({ event: 'store_pruned', tasks: dropped });
    } catch (error) {
      log.error({ event: 'store_prune_failed', error: (error as Error).message });
    }
  };
  const timer = setInterval(() => {
    running = running.then(prune);
  }, prune_interval_seconds * 1000);
  return {
    close: async () => {
      clearInterval(timer);
      await running;
    },
  };
}
