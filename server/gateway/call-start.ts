import type { IncomingHttpHeaders } from 'node:http';
import { type GatewayError, isBusy, isPassing, readErrorBody } from '../../contracts/gateway-errors.js';
import { decoded } from './decoding.js';

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
      /** The endpoint had asked for a pause: it is neither down nor busy with this task. */
      readonly isPaused?: boolean;
      /** See GatewayError. */
      readonly about?: GatewayError['about'];
      /** The parameter that says how to stream was not taken. */
      readonly refusesStreamOptions?: boolean;
    }
  | { readonly kind: 'interrupted'; readonly called: boolean };

export type Failure = CallStart & { kind: 'failed' };

/** What an answer without a completion means. Whether to retry is decided here and nowhere else. */
export function rejectionOf(
  status: number,
  headers: IncomingHttpHeaders,
  body: Uint8Array,
  path: string,
): Failure {
  const text = new TextDecoder().decode(decoded(body, headers['content-encoding']));
  const { message, about } = readErrorBody(text);
  const busy = isBusy(status);
  const isOfTask = status === 400 || status === 403 || status === 413 || status === 422 || status >= 500;
  return {
    kind: 'failed',
    ended: 'rejected',
    code: busy ? 'gateway_unavailable' : 'gateway_error',
    detail: `the gateway answered ${status}${whereOf(status, headers, path)}${message === '' ? '' : `: ${message}`}`,
    retryable: isPassing(status),
    retryAfterMs: retryAfterOf(headers, Date.now()),
    unhealthy: status >= 500 && status !== OVERLOADED,
    about: isOfTask ? about : undefined,
    refusesStreamOptions: (status === 400 || status === 422) && text.includes('stream_options'),
  };
}

const OVERLOADED = 529;

/** What helps with a wrong address. */
function whereOf(status: number, headers: IncomingHttpHeaders, path: string): string {
  const location = firstOf(headers.location);
  if (status === 404 || status === 405) return ` at ${path}`;
  return status >= 300 && status < 400 && location !== undefined ? ` and names ${excerptOf(location)}` : '';
}

/** Without a colon, before which the log cuts what a gateway says. */
function excerptOf(location: string): string {
  return location
    .slice(0, 200)
    .replace(/[^\x21-\x7e]/g, '')
    .replace(/\?.*/, '')
    .replaceAll(':', '%3A');
}

/** Why an answer that had begun did not come to its end. */
export function brokenOff(error: Error): string {
  return `the stream of the gateway broke off: ${error.message}`;
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

/** The answer has come in a coding that nobody asked for. */
export function undecodable(contentEncoding: string | undefined): Failure {
  return {
    kind: 'failed',
    ended: 'rejected',
    code: 'gateway_error',
    detail: `the gateway answered in the coding ${contentEncoding?.slice(0, 64)}, which it was not asked for`,
    retryable: false,
    retryAfterMs: undefined,
    unhealthy: false,
  };
}

/** Milliseconds from now; OpenAI and Azure say them in a field of their own. */
function retryAfterOf(headers: IncomingHttpHeaders, now: number): number | undefined {
  const ms = firstOf(headers['retry-after-ms']);
  if (ms !== undefined && /^\s*\d{1,12}(?:\.\d{1,9})?\s*$/.test(ms)) return Math.ceil(Number(ms));
  return parseRetryAfter(firstOf(headers['retry-after']), now);
}

/** Retry-After, RFC 9110 10.2.3: seconds (of some servers, with a fraction), or a date. Returns ms from now. */
export function parseRetryAfter(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\s*\d{1,9}(?:\.\d{1,9})?\s*$/.test(value)) return Math.ceil(Number(value) * 1000);
  // Date.parse takes numbers for dates as well, of years ago.
  const date = /[a-z]/i.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** A field that should stand there once, and may come more often. */
export function firstOf(field: string | string[] | undefined): string | undefined {
  return Array.isArray(field) ? field[0] : field;
}
