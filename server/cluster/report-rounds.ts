import type { ToWorker } from '../../contracts/cluster.js';

/** Collects the reports of all workers for the one that was asked. The primary's own. */
export class ReportRounds {
  readonly #send: (worker: number, message: ToWorker) => void;
  readonly #rounds = new Map<
    number,
    { readonly waiting: Set<number>; readonly found: object[]; end(): void }
  >();
  #last = 0;

  constructor(send: (worker: number, message: ToWorker) => void) {
    this.#send = send;
  }

  start(asker: number, call: number, workers: readonly number[]): void {
    this.#last++;
    const round = this.#last;
    const found: object[] = [];
    const end = () => {
      clearTimeout(timer);
      this.#rounds.delete(round);
      this.#send(asker, { kind: 'reports', call, reports: found });
    };
    // A worker that hangs is left out.
    const timer = setTimeout(end, LIMIT_MS);
    this.#rounds.set(round, { waiting: new Set(workers), found, end });
    for (const worker of workers) this.#send(worker, { kind: 'measure', call: round });
  }

  measured(worker: number, round: number, report: object): void {
    const open = this.#rounds.get(round);
    if (!open?.waiting.delete(worker)) return;
    open.found.push(report);
    if (open.waiting.size === 0) open.end();
  }
}

const LIMIT_MS = 3000;
