import cluster, { type Worker } from 'node:cluster';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../../config/schema.js';
import {
  type ToPrimary,
  type ToWorker,
  type WorkerSeat,
  workerSeatVariable,
} from '../../contracts/cluster.js';
import type { Log } from '../log.js';
import { OpenedParts } from '../opened-parts.js';
import { openStandIns } from '../stand-ins.js';
import { Deaths, MAX_BACKOFF_MS } from './deaths.js';
import { freePort } from './free-port.js';
import { NodeState } from './node-state.js';
import { Pulse } from './pulse.js';

/** The process that forks the workers, and owns what is the node's. */
export interface Primary {
  readonly port: number;
  /** Replaces the workers one by one; no request fails. Resolves when the old ones have ended. */
  reload(): Promise<void>;
  /** Drains all workers; resolves when they have ended. */
  close(): Promise<void>;
}

export interface PrimaryOptions {
  readonly config: Config;
  readonly log: Log;
  /** The workers die as fast as they are started; the service has ended. */
  onCrashLoop(): void;
  /** Ends the start, which then fails, or does what `close` does. */
  readonly stop?: AbortSignal;
}

/**
 * Forks the workers, which share one port by SO_REUSEPORT.
 * @throws {Error} when the port is taken, or the first worker does not start.
 */
export async function openPrimary({ config, log, onCrashLoop, stop }: PrimaryOptions): Promise<Primary> {
  const { workers: count, host } = config.server;
  // A worker that chose it would not share it; and a second service would silently share one that is taken.
  const port = await freePort(host, config.server.port);
  const opened = new OpenedParts(log);
  const standIns = await openStandIns(config, log, (part) => opened.keep(part));
  const send = (id: number, message: ToWorker) => {
    const worker = cluster.workers?.[id];
    // A worker that is on its way out takes no messages; what it holds is freed when it has ended.
    if (worker?.isConnected()) worker.send(message, () => {});
  };
  const seats: (Worker | undefined)[] = [];
  const connected = () =>
    Object.values(cluster.workers ?? {}).flatMap((worker) => (worker?.isConnected() ? [worker.id] : []));
  const node = new NodeState({ send, connected }, log);
  const pulse = new Pulse(
    config.server.worker_timeout_ms,
    (id) => send(id, { kind: 'pulse' }),
    (id) => {
      const hanging = cluster.workers?.[id]?.process;
      log.error({ event: 'worker_hangs', worker_pid: hanging?.pid });
      hanging?.kill('SIGKILL');
    },
  );
  const deaths = new Deaths();
  /** By worker; each has the configuration of its own start. */
  const longestTaskMs = new Map<number, number>();
  /** Workers that do not listen yet: nobody else begins one for the same seat. */
  const starting = new Map<number, Promise<Worker>>();
  /** Of each seat whose worker has died, until the next one is started. */
  const backoffs = new Map<number, NodeJS.Timeout>();
  let phase: 'open' | 'closing' = 'open';

  function start(index: number): Promise<Worker> {
    const started = fork(index).finally(() => starting.delete(index));
    starting.set(index, started);
    return started;
  }

  async function fork(index: number): Promise<Worker> {
    const seat: WorkerSeat = {
      workers: count,
      index,
      port,
      gatewayUrl: standIns.names.model_gateway && standIns.gatewayUrl,
      ragUrl: standIns.names.rag && standIns.ragUrl,
    };
    const worker = cluster.fork({ [workerSeatVariable]: JSON.stringify(seat) });
    pulse.watch(worker.id);
    return new Promise((resolve, reject) => {
      worker.on('message', (message: ToPrimary) => {
        pulse.heard(worker.id);
        if (message.kind === 'pulse') return;
        if (message.kind !== 'ready') return node.hear(worker.id, message);
        longestTaskMs.set(worker.id, message.longestTaskMs);
        // What it was told before it listened to the primary is lost.
        if (phase === 'closing') send(worker.id, { kind: 'stop', replaced: false });
        seats[index] = worker;
        node.ready(worker.id, message);
        resolve(worker);
      });
      worker.on('error', (error) => {
        log.error({ event: 'worker_error', worker: index, error: error.message });
        if (worker.process.pid !== undefined) return;
        // It never was a process, and its exit will not be told.
        pulse.gone(worker.id);
        delete cluster.workers?.[worker.id];
        reject(new Error(`worker ${index} could not be started: ${error.message}`));
      });
      worker.once('exit', (code, signal) => {
        reject(new EndedBeforeItListened(index, code, signal));
        node.gone(worker.id);
        pulse.gone(worker.id);
        longestTaskMs.delete(worker.id);
        if (seats[index] === worker) died(index, code, signal);
      });
    });
  }

  function died(index: number, code: number | null, signal: string | null): void {
    seats[index] = undefined;
    if (phase !== 'open') return;
    const backoff = backoffAfter(index, code, signal);
    if (backoff === undefined) void close().then(onCrashLoop);
    else respawnAfter(index, backoff);
  }

  function respawnAfter(index: number, ms: number): void {
    // One that a reload put there may have died before the time of the one before it was over.
    clearTimeout(backoffs.get(index));
    backoffs.set(
      index,
      setTimeout(() => respawn(index), ms),
    );
  }

  /** How long to wait before the next one, in milliseconds; undefined in a crash loop. */
  function backoffAfter(index: number, code: number | null, signal: string | null): number | undefined {
    const { backoffMs, message } = deaths.add(Date.now());
    log.error({ event: 'worker_died', worker: index, code, signal, deaths: deaths.count });
    if (backoffMs === undefined) log.fatal({ event: 'crash_loop', message });
    return backoffMs;
  }

  function respawn(index: number): void {
    // A reload may have filled the seat meanwhile, or be about to.
    if (phase !== 'open' || seats[index] !== undefined) return;
    const started = starting.get(index) ?? start(index);
    started.then(
      () => log.info({ event: 'worker_respawned', worker: index }),
      (error: Error) => {
        log.error({ event: 'worker_start_failed', worker: index, error: error.message });
        // A file that is wrong by now stops no worker that has read it when it was right.
        if (phase === 'open' && !wasKilled(error) && seats.some((seat) => seat !== undefined))
          respawnAfter(index, MAX_BACKOFF_MS);
        else died(index, null, null);
      },
    );
  }

  /** The first start of a seat. One that ends by itself says what is wrong; one that was killed is tried again. */
  async function begin(index: number): Promise<void> {
    for (;;) {
      if (phase !== 'open') throw new Error('the service is stopping');
      try {
        await start(index);
        return;
      } catch (error) {
        if (!wasKilled(error) || phase !== 'open') throw error;
        const backoff = backoffAfter(index, error.code, error.signal);
        if (backoff === undefined) throw error;
        await sleep(backoff);
      }
    }
  }

  /** Resolves when it has ended. One that was replaced ends what it runs, whatever the grace period. */
  async function retire(worker: Worker, replaced: boolean): Promise<void> {
    if (worker.isDead()) return;
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    const tell = () => send(worker.id, { kind: 'stop', replaced });
    tell();
    // One that starts may not have heard that, and wait for a database.
    const telling = setInterval(() => longestTaskMs.has(worker.id) || tell(), TELL_AGAIN_MS);
    const longestMs = replaced ? (longestTaskMs.get(worker.id) ?? 0) : 0;
    const limitMs = longestMs + config.server.grace_period_ms + STUCK_MS;
    const timer = setTimeout(() => worker.process.kill('SIGKILL'), limitMs);
    await ended;
    clearTimeout(timer);
    clearInterval(telling);
  }

  let closed: Promise<void> | undefined;
  function close(): Promise<void> {
    closed ??= (async () => {
      phase = 'closing';
      await Promise.all(Object.values(cluster.workers ?? {}).map((worker) => retire(worker!, false)));
      pulse.close();
      await opened.close();
    })();
    return closed;
  }

  if (stop?.aborted) void close();
  stop?.addEventListener('abort', () => void close());

  /** The last round of replacements that has begun: two at once would put two workers on one seat. */
  let round: Promise<unknown> = Promise.resolve();
  let nextReload: Promise<void> | undefined;

  function reload(): Promise<void> {
    // One that has not begun yet will read what was changed until now.
    nextReload ??= round.then(async () => {
      nextReload = undefined;
      const replacing = replaceAll();
      round = replacing;
      const replaced = await replacing;
      if (replaced === undefined) return;
      await Promise.all(replaced);
      if (phase === 'open') log.info({ event: 'reloaded', workers: count });
    });
    return nextReload;
  }

  /** Resolves when new ones listen on all seats, to the ends of the old ones; to undefined when it failed. */
  async function replaceAll(): Promise<readonly Promise<void>[] | undefined> {
    log.info({ event: 'reloading', workers: count });
    const retiring: Promise<void>[] = [];
    for (let index = 0; index < count && phase === 'open'; index++) {
      while (starting.has(index)) await starting.get(index)!.catch(() => {});
      const old = seats[index];
      try {
        await start(index);
      } catch (error) {
        if (phase === 'open')
          log.error({ event: 'reload_failed', worker: index, error: (error as Error).message });
        return undefined;
      }
      if (old === undefined) continue;
      const retired = retire(old, true);
      retiring.push(retired);
      // Not all workers twice at a time, unless their tasks are long ones.
      await Promise.race([retired, sleep(config.server.grace_period_ms)]);
    }
    return retiring;
  }

  try {
    // The first one chooses the port when that is left to it.
    if (port === 0) await begin(0);
    await Promise.all(
      Array.from({ length: count }, (_, at) => (seats[at] === undefined ? begin(at) : undefined)),
    );
  } catch (error) {
    // Why it did not start is what matters.
    await close().catch(() => {});
    throw error;
  }
  log.info({ event: 'listening', host, port, workers: count, stand_ins: standIns.names });
  return { port, reload, close };
}

class EndedBeforeItListened extends Error {
  readonly code: number | null;
  readonly signal: string | null;
  constructor(index: number, code: number | null, signal: string | null) {
    super(`worker ${index} ended before it listened: ${signal ?? code}`);
    this.code = code;
    this.signal = signal;
  }
}

/** By somebody, and not because the configuration is wrong, or the machine has no room for a process. */
const wasKilled = (error: unknown): error is EndedBeforeItListened =>
  error instanceof EndedBeforeItListened && error.signal !== null;

const TELL_AGAIN_MS = 500;
/** Beyond the grace period, for what comes after it. */
const STUCK_MS = 15_000;
