import type { Report } from '../snapshot.js';
import type { Link } from './link.js';

/** What all workers of the node tell of themselves, asked of any of them. */
export function nodeReports(own: () => Promise<Report>, link: Link): () => Promise<readonly Report[]> {
  const calls = new Map<number, (reports: readonly Report[]) => void>();
  let last = 0;
  link.on((message) => {
    if (message.kind === 'measure')
      void own().then(
        (report) => link.send({ kind: 'measured', call: message.call, report }),
        () => {}, // the round ends without it
      );
    if (message.kind !== 'reports') return;
    calls.get(message.call)?.(message.reports as readonly Report[]);
    calls.delete(message.call);
  });
  return () => {
    last++;
    const call = last;
    return new Promise((resolve) => {
      calls.set(call, resolve);
      link.send({ kind: 'report', call });
    });
  };
}
