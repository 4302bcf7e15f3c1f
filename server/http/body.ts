import type { HttpResponse } from 'uWebSockets.js';
import type { FailureCode } from '../../contracts/failures.js';

export type Body =
  | { readonly kind: 'whole'; readonly bytes: Uint8Array }
  | { readonly kind: 'too_large' }
  | { readonly kind: 'too_slow' };

interface BodyLimits {
  readonly maxBytes: number;
  readonly timeoutMs: number;
}

/**
 * Collects a request body up to `maxBytes`; refused while it arrives, not after. `done` is called at most
 * once, never after the response was aborted; `onAborted` whenever the caller goes away.
 */
export function readBody(
  res: HttpResponse,
  limits: BodyLimits & { readonly declaredBytes: number },
  done: (body: Body) => void,
  onAborted: () => void,
): void {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  let over = false;
  const finish = (body: Body) => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    done(body);
  };
  const timer = setTimeout(() => finish({ kind: 'too_slow' }), limits.timeoutMs);
  res.onAborted(() => {
    over = true;
    clearTimeout(timer);
    onAborted();
  });
  if (limits.declaredBytes > limits.maxBytes) {
    finish({ kind: 'too_large' });
    return;
  }
  res.onData((part, isLast) => {
    if (over) return;
    bytes += part.byteLength;
    if (bytes > limits.maxBytes) {
      finish({ kind: 'too_large' });
      return;
    }
    // The memory belongs to uWebSockets.js only during this call.
    parts.push(Buffer.from(new Uint8Array(part)));
    if (isLast) finish({ kind: 'whole', bytes: parts.length === 1 ? parts[0]! : Buffer.concat(parts) });
  });
}

/** Why a body was not taken. */
export function bodyRefusal(
  { kind }: Exclude<Body, { kind: 'whole' }>,
  { maxBytes, timeoutMs }: BodyLimits,
): readonly [code: FailureCode, detail: string] {
  return kind === 'too_large'
    ? ['payload_too_large', `the body must have at most ${maxBytes} bytes`]
    : ['request_timeout', `the body must arrive within ${timeoutMs} ms`];
}
