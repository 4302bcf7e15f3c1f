import type { LogLevel, ToPrimary, ToWorker } from '../../contracts/cluster.js';
import type { Log } from '../log.js';
import type { Report } from '../snapshot.js';
import { FREE_AFTER_MS } from '../wait-queue.js';
import { Followings } from './followings.js';
import { ReportRounds } from './report-rounds.js';
import { SlotLedger } from './slot-ledger.js';
import { TaskLedger } from './task-ledger.js';
import { TierLimits } from './tier-limits.js';

/** The workers of a node, by their ids. */
export interface Workers {
  /** Without effect on one that takes no messages any more. */
  send(id: number, message: ToWorker): void;
  /** All that have a connection to the primary, those that are being replaced included. */
  connected(): number[];
}

/** What is the node's and no worker's: slots, leases of tasks, and who looks on at what. */
export class NodeState {
  readonly #workers: Workers;
  readonly #log: Log;
  readonly #slots: SlotLedger;
  readonly #limits: TierLimits;
  readonly #tasks = new TaskLedger();
  readonly #rounds: ReportRounds;
  readonly #followings: Followings;
  /** Workers that serve, those that are being replaced included. */
  readonly #listening = new Set<number>();
  /** As somebody has set it while the service runs; until then each worker has that of its configuration. */
  #logLevel: LogLevel | undefined;

  constructor(workers: Workers, log: Log) {
    const send: Workers['send'] = (id, message) => workers.send(id, message);
    this.#workers = workers;
    this.#log = log;
    this.#slots = new SlotLedger(send);
    this.#limits = new TierLimits(this.#slots, (message) => {
      for (const id of workers.connected()) send(id, message);
    });
    this.#rounds = new ReportRounds(send);
    this.#followings = new Followings(send);
  }

  /** A worker listens. */
  ready(worker: number, { queues }: ToPrimary & { kind: 'ready' }): void {
    this.#listening.add(worker);
    if (this.#logLevel !== undefined)
      this.#workers.send(worker, { kind: 'log_level', level: this.#logLevel });
    this.#limits.configure(worker, queues);
    for (const limit of this.#limits.messages()) this.#workers.send(worker, limit);
  }

  hear(worker: number, message: Exclude<ToPrimary, { kind: 'ready' | 'pulse' }>): void {
    switch (message.kind) {
      case 'want':
        this.#slots.want(worker, message.tier, message.slots, message);
        break;
      case 'give':
        this.#slots.give(worker, message.tier, message.slots, message);
        break;
      case 'observed':
        this.#limits.adapt(message.tier, message.window);
        break;
      case 'claim': {
        const answers = message.claims.map((claim) => this.#tasks.claim(worker, claim));
        this.#workers.send(worker, { kind: 'answers', answers });
        break;
      }
      case 'release':
        this.#tasks.release(worker, message.taskIds);
        break;
      case 'ask': {
        const answer = this.#tasks.isHeld(message.taskId, message.otherThan) ? 'held' : 'free';
        this.#workers.send(worker, { kind: 'answers', answers: [{ call: message.call, answer }] });
        break;
      }
      case 'report':
        this.#rounds.start(
          worker,
          message.call,
          this.#workers.connected().filter((id) => this.#listening.has(id)),
        );
        break;
      case 'measured':
        this.#rounds.measured(worker, message.call, message.report as Report);
        break;
      case 'log_level':
        this.#logLevel = message.level;
        this.#log.level = message.level;
        for (const id of this.#workers.connected()) this.#workers.send(id, message);
        break;
      case 'cancel': {
        const holder = this.#tasks.holder(message.taskId);
        if (holder !== undefined) this.#workers.send(holder, message);
        break;
      }
      case 'follow': {
        const others = this.#workers.connected().filter((id) => id !== worker);
        this.#followings.follow(worker, message, others);
        break;
      }
      case 'unfollow':
        this.#followings.unfollow(worker, message.call);
        break;
      case 'shown':
        this.#followings.shown(worker, message.call, message.shown);
    }
  }

  /** A worker has ended. */
  gone(worker: number): void {
    this.#listening.delete(worker);
    this.#followings.gone(worker);
    // What it had open is closed by now.
    setTimeout(() => {
      this.#slots.gone(worker);
      this.#tasks.gone(worker);
      this.#rounds.gone(worker);
    }, FREE_AFTER_MS);
  }
}
