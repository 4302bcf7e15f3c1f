import type { Dispatcher } from 'undici';
import type { CallStart } from './call-start.js';

/**
 * Sends a request on to where the gateway has moved (RFC 9110, 15.4.2, 15.4.8 and 15.4.9), its key only to the same
 * origin, or to the same host where that asks for HTTPS; and again where the connection was stale (RFC 9112, 9.3.1).
 */
export async function follow(
  options: Dispatcher.DispatchOptions,
  send: (options: Dispatcher.DispatchOptions) => Promise<CallStart | Moved | Stale>,
): Promise<CallStart> {
  let to = options;
  let stale = 0;
  for (let hop = 0; ; ) {
    const start = await send(to);
    if (start.kind === 'stale') {
      if (stale++ < MOST_STALE) continue;
      return start.otherwise;
    }
    if (start.kind !== 'moved') return start;
    const from = new URL(`${String(to.origin)}${to.path}`);
    if (hop++ === MAX_HOPS || !URL.canParse(start.location, from.href)) return start.otherwise;
    const target = new URL(start.location, from);
    const { protocol, origin, pathname, search } = target;
    if (protocol !== 'http:' && protocol !== 'https:') return start.otherwise;
    const { authorization, ...headers } = to.headers as Record<string, string>;
    const isSame = origin === from.origin || isUpgrade(from, target);
    to = { ...to, origin, path: pathname + search, headers: isSame ? to.headers! : headers };
  }
}

function isUpgrade(from: URL, to: URL): boolean {
  return (
    from.protocol === 'http:' && to.protocol === 'https:' && from.hostname === to.hostname && to.port === ''
  );
}

const MAX_HOPS = 3;
const MOST_STALE = 2;

export interface Moved {
  readonly kind: 'moved';
  readonly location: string;
  /** What the call is when nobody follows. */
  readonly otherwise: CallStart;
}

/** The connection had been kept, and was closed when the request came: it may be sent again at once. */
export interface Stale {
  readonly kind: 'stale';
  readonly otherwise: CallStart;
}
