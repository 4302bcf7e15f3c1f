import { once } from 'node:events';
import type { Delay } from './delay-meter.js';
import type { IdleReading } from './floors/idle.js';
import type { MeterReading } from './metered-service.js';
import type { BenchProcess } from './processes.js';

/** Asks a service that was started as `metered-service.js`. */
export const readMeter = (service: BenchProcess): Promise<MeterReading> => ask<MeterReading>(service);

/** Asks the service, or `floors/idle.js`. */
export const readDelay = async (metered: BenchProcess): Promise<Delay> =>
  (await ask<IdleReading>(metered)).delay;

async function ask<Reading>({ child }: BenchProcess): Promise<Reading> {
  const answer = once(child, 'message');
  child.send('report');
  return (await answer)[0] as Reading;
}
