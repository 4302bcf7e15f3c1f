import type { ToWorker } from '../../contracts/cluster.js';
import type { Report } from '../snapshot.js';
import { PastReports } from './past-reports.js';

/**
 * Collects the reports of all workers for the one that was asked, and adds what those had counted that do not report any
 * more. The primary's own.
 */
export class ReportRounds {
  readonly #send: (worker: number, message: ToWorker) => void;
  readonly #rounds = new Map<
    number,
    { readonly waiting: Set<number>; readonly found: Map<number, Report>; end(): void }
  >();
  readonly #past = new PastReports();
  #last = 0;

  constructor(send: (worker: number, message: ToWorker) => void) {
    this.#send = send;
  }

  start(asker: number, call: number, workers: readonly number[]): void {
    this.#last++;
    const round = this.#last;
    const found = new Map<number, Report>();
    const end = () => {
      clearTimeout(timer);
      this.#rounds.delete(round);
      const reports = [...found.values(), ...this.#past.without(new Set(found.keys()))];
      this.#send(asker, { kind: 'reports', call, reports });
    };
    // Of a worker that hangs only what it had counted before is known.
    const timer = setTimeout(end, LIMIT_MS);
    this.#rounds.set(round, { waiting: new Set(workers), found, end });
    for (const worker of workers) this.#send(worker, { kind: 'measure', call: round });
  }

  /** Also without a round, when a worker ends. */
  measured(worker: number, round: number, report: Report): void {
    this.#past.told(worker, report);
    const open = this.#rounds.get(round);
    if (!open?.waiting.delete(worker)) return;
    open.found.set(worker, report);
    if (open.waiting.size === 0) open.end();
  }

  gone(worker: number): void {
    this.#past.ended(worker);
    for (const { waiting, found, end } of [...this.#rounds.values()]) {
      // What it has told in this round is among what is past by now.
      found.delete(worker);
      if (waiting.delete(worker) && waiting.size === 0) end();
    }
  }
}

const LIMIT_MS = 3000;
