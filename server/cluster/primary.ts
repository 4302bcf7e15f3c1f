import cluster, { type Worker } from 'node:cluster';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../../config/schema.js';
import {
  type LogLevel,
  type ToPrimary,
  type ToWorker,
  type WorkerSeat,
  workerSeatVariable,
} from '../../contracts/cluster.js';
import type { Log } from '../log.js';
import { openStandIns } from '../stand-ins.js';
import { Deaths, MAX_BACKOFF_MS } from './deaths.js';
import { Followings } from './followings.js';
import { freePort } from './free-port.js';
import { ReportRounds } from './report-rounds.js';
import { SlotLedger } from './slot-ledger.js';
import { TaskLedger } from './task-ledger.js';
import { TierLimits } from './tier-limits.js';

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
}

/**
 * Forks the workers, which share one port by SO_REUSEPORT.
 * @throws {Error} when the port is taken, or the first worker does not start.
 */
export async function openPrimary({ config, log, onCrashLoop }: PrimaryOptions): Promise<Primary> {
  const { workers: count, host } = config.server;
  // A worker that chose it would not share it; and a second service would silently share one that is taken.
  const port = await freePort(host, config.server.port);
  const opened: { close(): void | Promise<void> }[] = [];
  const standIns = await openStandIns(config, log, (part) => {
    opened.push(part);
    return part;
  });
  const send = (id: number, message: ToWorker) => {
    const worker = cluster.workers?.[id];
    // A worker that is on its way out takes no messages; what it holds is freed when it has ended.
    if (worker?.isConnected()) worker.send(message, () => {});
  };
  const slots = new SlotLedger(send);
  const limits = new TierLimits(slots, (message) => {
    for (const worker of Object.values(cluster.workers ?? {})) send(worker!.id, message);
  });
  const tasks = new TaskLedger();
  const rounds = new ReportRounds(send);
  const followings = new Followings(send);
  const deaths = new Deaths();
  const seats: (Worker | undefined)[] = [];
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
      ...(config.gateway.url === undefined && { gatewayUrl: standIns.gatewayUrl }),
      ...(config.rag.url === undefined && { ragUrl: standIns.ragUrl }),
    };
    const worker = cluster.fork({ [workerSeatVariable]: JSON.stringify(seat) });
    return new Promise((resolve, reject) => {
      worker.on('message', (message: ToPrimary) => {
        if (message.kind !== 'ready') return hear(worker.id, message);
        longestTaskMs.set(worker.id, message.longestTaskMs);
        // What it was told before it listened to the primary is lost.
        if (phase === 'closing') send(worker.id, { kind: 'stop', replaced: false });
        seats[index] = worker;
        send(worker.id, { kind: 'log_level', level: log.level as LogLevel });
        limits.configure(worker.id, message.queues);
        for (const limit of limits.messages()) send(worker.id, limit);
        resolve(worker);
      });
      worker.on('error', (error) => {
        log.error({ event: 'worker_error', worker: index, error: error.message });
        if (worker.process.pid !== undefined) return;
        // It never was a process, and its exit will not be told.
        delete cluster.workers?.[worker.id];
        reject(new Error(`worker ${index} could not be started: ${error.message}`));
      });
      worker.once('exit', (code, signal) => {
        reject(new EndedBeforeItListened(index, code, signal));
        // What it had open is closed by now, but the other ends may still have to notice: a moment later no two
        // processes are in the same slot.
        setTimeout(() => {
          slots.gone(worker.id);
          tasks.gone(worker.id);
        }, FREE_AFTER_MS);
        longestTaskMs.delete(worker.id);
        followings.gone(worker.id);
        if (seats[index] === worker) died(index, code, signal);
      });
    });
  }

  function hear(worker: number, message: Exclude<ToPrimary, { kind: 'ready' }>): void {
    switch (message.kind) {
      case 'want':
        slots.want(worker, message.tier, message.slots, message.heldMs);
        break;
      case 'give':
        slots.give(worker, message.tier, message.slots, message.heldMs);
        break;
      case 'observed':
        limits.adapt(message.tier, message.window);
        break;
      case 'claim': {
        const answers = message.claims.map((claim) => tasks.claim(worker, claim));
        send(worker, { kind: 'answers', answers });
        break;
      }
      case 'release':
        tasks.release(worker, message.taskIds);
        break;
      case 'ask': {
        const answer = tasks.isHeld(message.taskId, message.otherThan) ? 'held' : 'free';
        send(worker, { kind: 'answers', answers: [{ call: message.call, answer }] });
        break;
      }
      case 'report':
        rounds.start(
          worker,
          message.call,
          seats.flatMap((seat) => (seat?.isConnected() ? [seat.id] : [])),
        );
        break;
      case 'measured':
        rounds.measured(worker, message.call, message.report);
        break;
      case 'log_level':
        log.level = message.level;
        for (const seat of seats) if (seat !== undefined) send(seat.id, message);
        break;
      case 'cancel': {
        const holder = tasks.holder(message.taskId);
        if (holder !== undefined) send(holder, message);
        break;
      }
      case 'follow': {
        const all = Object.values(cluster.workers ?? {}).filter((other) => other?.isConnected());
        const others = all.map((other) => other!.id).filter((id) => id !== worker);
        followings.follow(worker, message, others);
        break;
      }
      case 'unfollow':
        followings.unfollow(worker, message.call);
        break;
      case 'shown':
        followings.shown(worker, message.call, message.shown);
    }
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
    send(worker.id, { kind: 'stop', replaced });
    const longestMs = replaced ? (longestTaskMs.get(worker.id) ?? 0) : 0;
    const limitMs = longestMs + config.server.grace_period_ms + STUCK_MS;
    const timer = setTimeout(() => worker.process.kill('SIGKILL'), limitMs);
    await ended;
    clearTimeout(timer);
  }

  let closed: Promise<void> | undefined;
  function close(): Promise<void> {
    closed ??= (async () => {
      phase = 'closing';
      await Promise.all(Object.values(cluster.workers ?? {}).map((worker) => retire(worker!, false)));
      for (const part of opened.reverse()) await part.close();
    })();
    return closed;
  }

  async function reload(): Promise<void> {
    log.info({ event: 'reloading', workers: count });
    const retiring: Promise<void>[] = [];
    for (let index = 0; index < count && phase === 'open'; index++) {
      await starting.get(index)?.catch(() => {});
      const old = seats[index];
      try {
        await start(index);
      } catch (error) {
        if (phase === 'open')
          log.error({ event: 'reload_failed', worker: index, error: (error as Error).message });
        return;
      }
      if (old === undefined) continue;
      const retired = retire(old, true);
      retiring.push(retired);
      // Not all workers twice at a time, unless their tasks are long ones.
      await Promise.race([retired, sleep(config.server.grace_period_ms)]);
    }
    await Promise.all(retiring);
    if (phase === 'open') log.info({ event: 'reloaded', workers: count });
  }

  try {
    // The first one chooses the port when that is left to it.
    if (port === 0) await begin(0);
    await Promise.all(
      Array.from({ length: count }, (_, at) => (seats[at] === undefined ? begin(at) : undefined)),
    );
  } catch (error) {
    await close();
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

const FREE_AFTER_MS = 50;
/** Beyond the grace period, for what comes after it. */
const STUCK_MS = 15_000;
