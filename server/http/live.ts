import type { HttpRequest, HttpResponse } from 'uWebSockets.js';
import { authorize } from './authorization.js';
import { beginEvents } from './event-stream.js';
import type { HttpParts } from './parts.js';
import { send } from './reply.js';

/**
 * `GET /live`: a snapshot of the node every second, as server-sent events (WHATWG HTML, 9.2). It is made once for
 * all who watch, and only while somebody does; who reads slowly misses some, and who reads
 * nothing for some 10 s is closed by uWebSockets.js.
 */
export function openLive(parts: HttpParts) {
  /** Whether each of them has read what was written. */
  const watchers = new Map<HttpResponse, boolean>();
  let timer: NodeJS.Timeout | undefined;

  const tick = async () => {
    const event = `event: snapshot\ndata: ${JSON.stringify(await parts.snapshot())}\n\n`;
    for (const [res, hasRead] of watchers) {
      res.cork(() => {
        if (hasRead) watchers.set(res, res.write(event));
        // The next connection is one to a process that stays.
        if (parts.isLeaving()) res.end();
      });
    }
    if (parts.isLeaving()) watchers.clear();
  };
  const run = () => {
    void tick()
      .catch((error: Error) => parts.log.error({ event: 'live_error', error: error.message }))
      .finally(() => {
        timer = watchers.size === 0 ? undefined : setTimeout(run, EVERY_MS).unref();
      });
  };

  return (res: HttpResponse, req: HttpRequest): void => {
    const decision = authorize(parts.tokens, req, 'read');
    res.onAborted(() => {
      watchers.delete(res);
    });
    parts.metrics.answered('/live', 'refusal' in decision ? decision.refusal.status : 200, 0);
    if ('refusal' in decision) {
      send(res, decision.refusal);
      return;
    }
    res.onWritable(() => {
      watchers.set(res, true);
      return true;
    });
    beginEvents(res);
    watchers.set(res, true);
    if (timer === undefined) timer = setTimeout(run, 0);
  };
}

const EVERY_MS = 1000;
