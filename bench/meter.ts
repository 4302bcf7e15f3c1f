import { once } from 'node:events';
import type { MeterReading } from './metered-service.js';
import type { BenchProcess } from './processes.js';

/** Asks a service that was started as `metered-service.js`. */
export async function readMeter({ child }: BenchProcess): Promise<MeterReading> {
  const answer = once(child, 'message');
  child.send('report');
  return (await answer)[0] as MeterReading;
}
