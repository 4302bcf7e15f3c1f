import { AggregatorRegistry } from 'prom-client';
import type { Report } from '../snapshot.js';

/**
 * What workers have counted that have ended or do not answer, as far as they had told of it: the counts of a node never
 * go back. The primary's own.
 */
export class PastReports {
  readonly #last = new Map<number, Report>();
  /** Of all that have ended. */
  #ended: Report | undefined;

  told(worker: number, report: Report): void {
    this.#last.set(worker, report);
  }

  ended(worker: number): void {
    const last = this.#last.get(worker);
    if (last === undefined) return;
    this.#last.delete(worker);
    this.#ended = this.#ended === undefined ? pastOf(last) : joined(this.#ended, pastOf(last));
  }

  /** @param present workers that tell of themselves. */
  without(present: ReadonlySet<number>): readonly Report[] {
    const absent = [...this.#last].filter(([worker]) => !present.has(worker));
    return [
      ...(this.#ended === undefined ? [] : [this.#ended]),
      ...absent.map(([, report]) => pastOf(report)),
    ];
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

function joined(one: Report, other: Report): Report {
  const metrics = AggregatorRegistry.aggregate([one.metrics, other.metrics] as object[]).getMetricsAsArray();
  const recent = [...one.recent, ...other.recent].sort((a, b) => b.finished_at - a.finished_at);
  return { metrics, recent: recent.slice(0, MOST_RECENT), isPast: true };
}

const MOST_RECENT = 50;
