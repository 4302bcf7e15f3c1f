import { type Metrics, mergedMetrics } from '../metrics.js';
import type { Link } from './link.js';

/** The metrics of the whole node, asked of any worker. */
export function nodeMetrics({ registry }: Metrics, link: Link): () => Promise<string> {
  const calls = new Map<number, (workers: readonly object[]) => void>();
  let last = 0;
  link.on((message) => {
    if (message.kind === 'measure') {
      void registry
        .getMetricsAsJSON()
        .then((metrics) => link.send({ kind: 'measured', call: message.call, metrics }));
    }
    if (message.kind !== 'metrics') return;
    calls.get(message.call)?.(message.workers);
    calls.delete(message.call);
  });
  return async () => {
    last++;
    const call = last;
    const workers = await new Promise<readonly object[]>((resolve) => {
      calls.set(call, resolve);
      link.send({ kind: 'metrics', call });
    });
    return mergedMetrics(workers);
  };
}
