import { excerpt } from '../../contracts/excerpt.js';

/** How a call began. */
export type CallStart =
  | { readonly kind: 'streaming' }
  | {
      readonly kind: 'failed';
      readonly ended: 'rejected' | 'unreachable' | 'not_called';
      readonly code: 'gateway_error' | 'gateway_unavailable';
      readonly detail: string;
      readonly retryable: boolean;
      readonly retryAfterMs: number | undefined;
      /** Whether it says that the endpoint is down, rather than busy or asked wrongly. */
      readonly unhealthy: boolean;
    }
  | { readonly kind: 'interrupted'; readonly called: boolean };

type Failure = CallStart & { kind: 'failed' };

/** What an answer other than 200 means. Whether to retry is decided here and nowhere else. */
export function rejectionOf(status: number, retryAfter: string | undefined, body: Uint8Array): Failure {
  const busy = status === 429 || status === 502 || status === 503 || status === 504;
  return {
    kind: 'failed',
    ended: 'rejected',
    code: busy ? 'gateway_unavailable' : 'gateway_error',
    detail: `the gateway answered ${status}${messageOf(body)}`,
    retryable: busy || status === 408 || status === 425 || status >= 500,
    retryAfterMs: parseRetryAfter(retryAfter, Date.now()),
    unhealthy: status >= 500,
  };
}

/** The gateway could not be reached, or hung up before it answered. */
export function unreachableOf(error: Error & { code?: string }): Failure {
  return {
    kind: 'failed',
    ended: 'unreachable',
    code: 'gateway_unavailable',
    detail: `the gateway did not answer: ${error.code ?? error.message}`,
    retryable: true,
    retryAfterMs: undefined,
    unhealthy: true,
  };
}

/** Retry-After, RFC 9110 10.2.3: seconds (of some servers, with a fraction), or a date. Returns ms from now. */
export function parseRetryAfter(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\s*\d{1,9}(?:\.\d{1,9})?\s*$/.test(value)) return Math.ceil(Number(value) * 1000);
  // Date.parse takes numbers for dates as well, of years ago.
  const date = /[a-z]/i.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

function messageOf(body: Uint8Array): string {
  try {
    const { error } = JSON.parse(new TextDecoder().decode(body)) as {
      error?: { message?: unknown } | string;
    };
    const message = typeof error === 'string' ? error : error?.message;
    return typeof message === 'string' ? `: ${excerpt(message, 300)}` : '';
  } catch {
    return '';
  }
}
