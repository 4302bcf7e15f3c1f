import type { ToWorker } from '../../contracts/cluster.js';
import type { Report } from '../snapshot.js';
import { PastReports } from './past-reports.js';
import { Round } from './round.js';

/**
 * Collects the reports of all workers for the one that was asked, and adds what those had counted that do not report any
 * more. The primary's own.
 */
export class ReportRounds {
  readonly #send: (worker: number, message: ToWorker) => void;
  readonly #open = new Map<
    number,
    { readonly round: Round; readonly found: Map<number, Report>; end(): void }
  >();
  readonly #past = new PastReports();

  constructor(send: (worker: number, message: ToWorker) => void) {
    this.#send = send;
  }

  start(asker: number, call: number, workers: readonly number[]): void {
    const found = new Map<number, Report>();
    const end = () => {
      this.#open.delete(round.number);
      const reports = [...found.values(), ...this.#past.without(new Set(found.keys()))];
      this.#send(asker, { kind: 'reports', call, reports });
    };
    // Of a worker that hangs only what it had counted before is known.
    const round = new Round(LIMIT_MS, end);
    this.#open.set(round.number, { round, found, end });
    for (const worker of workers) this.#send(worker, { kind: 'measure', call: round.ask(worker) });
    if (round.isOver) end();
  }

  /** Also without a round, when a worker ends. */
  measured(worker: number, call: number, report: Report): void {
    this.#past.told(worker, report);
    const open = this.#open.get(call);
    if (!open?.round.answered(worker)) return;
    open.found.set(worker, report);
    if (open.round.isOver) open.end();
  }

  gone(worker: number): void {
    this.#past.ended(worker);
    for (const { round, found, end } of [...this.#open.values()]) {
      // What it has told in this round is among what is past by now.
      found.delete(worker);
      if (round.answered(worker) && round.isOver) end();
    }
  }
}

const LIMIT_MS = 3000;
