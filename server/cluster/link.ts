import type { ToPrimary, ToWorker, WorkerSeat } from '../../contracts/cluster.js';
import { workerSeatVariable } from '../../contracts/cluster.js';

/** A worker's line to its primary. */
export interface Link {
  send(message: ToPrimary): void;
  on(listener: (message: ToWorker) => void): void;
}

/** The seat of this process, when it is the worker of a cluster. */
export function seatOf(env: NodeJS.ProcessEnv): WorkerSeat | undefined {
  const text = env[workerSeatVariable];
  return text === undefined || process.send === undefined ? undefined : (JSON.parse(text) as WorkerSeat);
}

/**
 * Ends the process when its primary is gone: its slots and claims mean nothing any more. By a signal: an exit waits for
 * threads and native code, and was seen to wait for ever, with messages of the broker in its hands.
 */
export function openLink(): Link {
  // Before Node's own listener, which exits.
  process.prependOnceListener('disconnect', () => process.kill(process.pid, 'SIGKILL'));
  return {
    // What does not arrive any more has nobody to go to, and 'disconnect' follows.
    send: (message) => void process.send!(message, undefined, undefined, () => {}),
    on: (listener) => {
      process.on('message', listener);
    },
  };
}
