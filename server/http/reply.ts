import type { HttpResponse } from 'uWebSockets.js';
import type { FailureCode } from '../../contracts/failures.js';
import type { Failed } from '../../contracts/outcome.js';
import { type Problem, problemOf } from '../../contracts/problem.js';
import type { TaskOutcome } from '../caller.js';
import { outcomeJson } from '../outcome-json.js';
import { SlowReader } from './slow-reader.js';
import type { Unfinished } from './unfinished.js';

/** An answer, ready to be written. */
export interface Reply {
  readonly status: number;
  readonly contentType: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
}

export interface Sending {
  readonly isHead?: boolean;
  /** Whether the connection is to be closed with it. */
  readonly close?: boolean;
  /** Told of an answer that cannot be written at once. */
  readonly unfinished?: Unfinished;
}

/** Writes an answer. The caller has made sure that it is not aborted. */
export function send(
  res: HttpResponse,
  reply: Reply,
  { isHead = false, close = false, unfinished }: Sending = {},
): void {
  res.cork(() => {
    res.writeStatus(statusLine(reply.status)).writeHeader('content-type', reply.contentType);
    // Whatever an output holds is data: no browser shall take it for something that runs.
    res.writeHeader('x-content-type-options', 'nosniff');
    for (const name in reply.headers) if (name !== 'connection') res.writeHeader(name, reply.headers[name]!);
    const closes = close || reply.headers?.connection === 'close';
    if (isHead) res.writeHeader('content-length', String(Buffer.byteLength(reply.body))).endWithoutBody();
    else if (unfinished === undefined || reply.body.length <= AT_ONCE_BYTES) res.end(reply.body, closes);
    else {
      if (closes) res.writeHeader('connection', 'close');
      const body = typeof reply.body === 'string' ? Buffer.from(reply.body) : reply.body;
      writeAsRead(res, body, unfinished);
    }
  });
}

/** As fast as the caller reads, so that it is known when all is written; then calls `done`. */
function writeAsRead(res: HttpResponse, body: Uint8Array, unfinished: Unfinished): void {
  const written = unfinished.begin();
  let isOver = false;
  const done = () => {
    isOver = true;
    written();
  };
  const writeFrom = (offset: number) => {
    const [fits, isWritten] = res.tryEnd(body.subarray(offset), body.length);
    if (isWritten) done();
    else reader.isBehind();
    return fits;
  };
  const reader = new SlowReader(res, unfinished.writeTimeoutMs, () => isOver);
  res.onAborted(done);
  res.onWritable((offset) => {
    reader.hasRead();
    return writeFrom(offset);
  });
  writeFrom(0);
}

// What the buffers of a connection take, so that it is on its way even if nobody reads yet.
const AT_ONCE_BYTES = 65_536;

export function json(value: unknown, status = 200): Reply {
  return { status, contentType: 'application/json', body: JSON.stringify(value) };
}

export function problem(value: Problem, headers?: Record<string, string>): Reply {
  return {
    status: value.status,
    contentType: 'application/problem+json',
    body: JSON.stringify(value),
    ...(headers !== undefined && { headers }),
  };
}

/** The translation of an outcome to HTTP, and nothing more. */
export function replyOf(ended: TaskOutcome): Reply {
  const { outcome } = ended;
  const headers: Record<string, string> = {};
  const timing = serverTiming(ended);
  if (timing !== undefined) headers['server-timing'] = timing;
  if (outcome.status === 'completed') {
    return { status: 200, contentType: 'application/json', headers, body: completedJson(ended) };
  }
  if (outcome.retry_after_seconds !== undefined) headers['retry-after'] = String(outcome.retry_after_seconds);
  return problem(problemOfFailure(outcome), headers);
}

/**
 * Where the time of an execution went (W3C Server Timing), with what the outcome cannot know of itself: how long it took
 * to make it durable (decision 26). None for an outcome that was stored before.
 */
function serverTiming({ outcome, recordMs }: TaskOutcome): string | undefined {
  const { timings, execution_time_ms } = outcome;
  if (recordMs === undefined || timings === undefined || execution_time_ms === undefined) return undefined;
  let value = '';
  for (const stage in timings) value += `${stage};dur=${timings[stage as keyof typeof timings]}, `;
  const total = (execution_time_ms + recordMs).toFixed(3);
  return `${value}record;dur=${recordMs.toFixed(3)}, total;dur=${total}`;
}

/** The completed outcome as JSON; the output is spliced in as the bytes that a thread has written. */
export function completedJson({ outcome, output }: TaskOutcome): Uint8Array {
  const head = outcomeJson(outcome);
  return Buffer.concat([Buffer.from(`${head.slice(0, -1)},"output":`), output ?? Buffer.from('null'), CLOSE]);
}

export function problemOfFailure(failed: Failed): Problem {
  const { code, detail, status: _, domain, tokens, context, context_tokens, sources, ...more } = failed;
  return problemOf(code, detail, more);
}

function statusLine(status: number): string {
  return `${status} ${reasons[status] ?? ''}`.trim();
}

const CLOSE = Buffer.from('}');

// RFC 9110, section 15.
const reasons: Record<number, string> = {
  200: 'OK',
  202: 'Accepted',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
};

/** A problem that has nothing to add to its code. */
export function refusal(code: FailureCode, detail: string): Reply {
  return problem(problemOf(code, detail));
}
