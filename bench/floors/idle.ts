import { type Delay, meterDelay } from '../delay-meter.js';

/**
 * The floor of `loop`: a process with nothing to do but to meter its event loop. What it is late beside a load, it waited
 * for a core. The message `reset` begins a measurement, `report` answers with a reading.
 */
export interface IdleReading {
  readonly delay: Delay;
}

const delay = meterDelay();
process.on('message', (message) => {
  if (message === 'reset') delay.reset();
  else process.send!({ delay: delay.reading() } satisfies IdleReading);
});
process.once('SIGTERM', () => process.exit(0));
console.log(JSON.stringify({ event: 'listening', port: 0 }));
