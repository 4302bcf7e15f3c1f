import type { HttpResponse, TemplatedApp } from 'uWebSockets.js';
import type { Config } from '../../config/schema.js';

/** One request of a caller that counts as running until it is left. */
export interface Admission {
  /** It is a task that will take so long from now, in ms; undefined when that is not known. */
  takes(ms: number | undefined): void;
  leave(): void;
}

/** How much one caller may ask of this process at once. Callers are known by their token, else by their address. */
export class CallerLimits {
  readonly #most: number;
  readonly #running = new Map<string, Set<Running>>();

  /** @param most tasks of one caller at a time; 0 is no limit. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Undefined when the caller has as many as he may. */
  admit(res: HttpResponse, holder: string | undefined): Admission | undefined {
    if (this.#most === 0) return unlimited;
    const caller = callerOf(res, holder);
    const all = this.#running.get(caller) ?? new Set();
    if (all.size >= this.#most) return undefined;
    const running: Running = { endsAt: Number.POSITIVE_INFINITY };
    this.#running.set(caller, all.add(running));
    return {
      takes: (ms) => {
        if (ms !== undefined) running.endsAt = performance.now() + ms;
      },
      leave: () => {
        if (all.delete(running) && all.size === 0) this.#running.delete(caller);
      },
    };
  }

  /** Until the first of the tasks that the caller has is expected to end, in s; 1 when that is over, or not known. */
  retryAfterSeconds(res: HttpResponse, holder: string | undefined): number {
    let endsAt = Number.POSITIVE_INFINITY;
    for (const running of this.#running.get(callerOf(res, holder)) ?? [])
      endsAt = Math.min(endsAt, running.endsAt);
    if (endsAt === Number.POSITIVE_INFINITY) return 1;
    return Math.max(1, Math.ceil((endsAt - performance.now()) / 1000));
  }
}

const unlimited: Admission = { takes: () => {}, leave: () => {} };

interface Running {
  /** When it is expected to end, in ms of `performance.now()`; infinite when that is not known. */
  endsAt: number;
}

/** Closes a connection when the process has as many as it may. */
export function limitConnections(app: TemplatedApp, { max_connections }: Config['server']): void {
  if (max_connections === 0) return;
  let open = 0;
  // Not in the library's types: called with 1 for each connection that opens, and -1 when it closes. Whose it was
  // is not known then: addresses cannot be counted.
  const { filter } = app as unknown as {
    filter(on: (res: HttpResponse, change: number) => void): void;
  };
  filter.call(app, (res, change) => {
    open += change;
    if (change > 0 && open > max_connections) res.close();
  });
}

function callerOf(res: HttpResponse, holder: string | undefined): string {
  return holder === undefined ? addressOf(res) : `token ${holder}`;
}

function addressOf(res: HttpResponse): string {
  return Buffer.from(res.getRemoteAddressAsText()).toString();
}
