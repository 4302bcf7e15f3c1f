import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Delay of an event loop since the last reset, in ms. One that has nothing to do shows about 1. */
export interface Delay {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** Meters the event loop it is called on, with a resolution of 1 ms. */
export function meterDelay(): { reset(): void; reading(): Delay } {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const ms = (nanoseconds: number) => nanoseconds / 1e6;
  return {
    reset: () => delay.reset(),
    reading: () => ({
      p50: ms(delay.percentile(50)),
      p99: ms(delay.percentile(99)),
      p999: ms(delay.percentile(99.9)),
      max: ms(delay.max),
    }),
  };
}
