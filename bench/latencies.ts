import { build, encodeIntoCompressedBase64 } from 'hdr-histogram-js';
import type { LatencyDistribution } from './result.js';

/** Latencies as they come, in a histogram of microseconds with three significant digits. */
export class Latencies {
  readonly #histogram = build({
    highestTrackableValue: HIGHEST_MICROS,
    numberOfSignificantValueDigits: 3,
  });

  /** @param ms what took longer than an hour counts as an hour. */
  record(ms: number): void {
    this.#histogram.recordValue(Math.min(HIGHEST_MICROS, Math.max(1, Math.round(ms * 1000))));
  }

  add(other: Latencies): void {
    this.#histogram.add(other.#histogram);
  }

  get count(): number {
    return this.#histogram.totalCount;
  }

  /** Milliseconds; NaN when nothing was recorded. */
  at(percentile: number): number {
    return this.count === 0 ? Number.NaN : this.#histogram.getValueAtPercentile(percentile) / 1000;
  }

  distribution(): LatencyDistribution {
    return {
      count: this.count,
      percentiles: this.count === 0 ? [] : PERCENTILES.map((percentile) => [percentile, this.at(percentile)]),
      hdr: encodeIntoCompressedBase64(this.#histogram),
    };
  }
}

/** All rounds in one. */
export function together(rounds: readonly Latencies[]): Latencies {
  const all = new Latencies();
  for (const round of rounds) all.add(round);
  return all;
}

const HIGHEST_MICROS = 3_600_000_000;
const PERCENTILES = [
  ...[0, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97.5],
  ...[98, 98.5, 99, 99.25, 99.5, 99.75, 99.9, 99.95, 99.99, 99.999],
];
