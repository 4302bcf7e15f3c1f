import type { HttpResponse, TemplatedApp } from 'uWebSockets.js';
import type { Config } from '../../config/schema.js';

/** One request of a caller that counts as running until it is left. */
export interface Admission {
  leave(): void;
}

/** How much one caller may ask of this process at once. Callers are known by their token, else by their address. */
export class CallerLimits {
  readonly #most: number;
  readonly #running = new Map<string, number>();

  /** @param most tasks of one caller at a time; 0 is no limit. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Undefined when the caller has as many as he may. */
  admit(res: HttpResponse, holder: string | undefined): Admission | undefined {
    if (this.#most === 0) return unlimited;
    const caller = holder === undefined ? addressOf(res) : `token ${holder}`;
    const running = this.#running.get(caller) ?? 0;
    if (running >= this.#most) return undefined;
    this.#running.set(caller, running + 1);
    let left = false;
    return {
      leave: () => {
        if (left) return;
        left = true;
        const now = this.#running.get(caller)! - 1;
        if (now === 0) this.#running.delete(caller);
        else this.#running.set(caller, now);
      },
    };
  }
}

const unlimited: Admission = { leave: () => {} };

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

function addressOf(res: HttpResponse): string {
  return Buffer.from(res.getRemoteAddressAsText()).toString();
}
