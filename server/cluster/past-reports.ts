import { merged, newest, type Report } from '../snapshot.js';

/**
 * What workers have counted that have ended or do not answer, as far as they had told of it: the counts of a node never
 * go back. The primary's own.
 */
export class PastReports {
  readonly #last = new Map<number, Report>();
  /** Of all that have ended. */
  #ended: Report = { metrics: [], recent: [], isPast: true };

  told(worker: number, report: Report): void {
    this.#last.set(worker, report);
  }

  ended(worker: number): void {
    const last = this.#last.get(worker);
    if (last === undefined) return;
    this.#last.delete(worker);
    const all = [this.#ended, pastOf(last)];
    this.#ended = { metrics: merged(all).getMetricsAsArray(), recent: newest(all), isPast: true };
  }

  /** @param present workers that tell of themselves. */
  without(present: ReadonlySet<number>): readonly Report[] {
    const absent = [...this.#last].filter(([worker]) => !present.has(worker));
    return [this.#ended, ...absent.map(([, report]) => pastOf(report))];
  }
}

interface Metric {
  readonly name: string;
  readonly type: string;
}

/** What has been, without what was so at the moment. */
function pastOf({ metrics, recent }: Report): Report {
  return {
    metrics: (metrics as Metric[]).filter(({ type }) => type === 'counter' || type === 'histogram'),
    recent,
    isPast: true,
  };
}
