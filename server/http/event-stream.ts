import type { HttpResponse } from 'uWebSockets.js';
import { type Problem, problemOf } from '../../contracts/problem.js';
import type { Caller, TaskOutcome } from '../caller.js';
import { completedJson, problemOfFailure } from './reply.js';
import { SlowReader } from './slow-reader.js';

export interface EventStreamOptions {
  /** Longest silence on the stream, in milliseconds: then comes a comment, for proxies that close what is silent. */
  readonly keepAliveMs: number;
  /** Longest time in which nothing of the stream is read, in milliseconds: then the connection is closed. */
  readonly writeTimeoutMs: number;
  isAborted(): boolean;
  /** Whether the connection is to be closed after the stream: its head says so, for later it cannot be said. */
  readonly close: boolean;
}

/**
 * Answers with server-sent events (WHATWG HTML, 9.2): `started`, `delta`, `usage`, `reset`, and at last
 * `completed` or `failed`. A reader that is slow stops the model stream instead of filling memory.
 */
export function streamEvents(
  res: HttpResponse,
  caller: Caller,
  { keepAliveMs, writeTimeoutMs, isAborted, close }: EventStreamOptions,
): Promise<void> {
  let next = 0;
  let blocked = false;
  let fellBehind = false;
  let lastUsage: string | undefined;

  const write = (text: string | Uint8Array): boolean => {
    let fits = true;
    res.cork(() => {
      fits = res.write(text);
    });
    silence.refresh();
    return fits;
  };
  let isEnded = false;
  const reader = new SlowReader(res, writeTimeoutMs, () => isEnded || isAborted());
  const silence = setTimeout(() => {
    if (isAborted()) return;
    if (blocked || write(': still at work\n\n')) silence.refresh();
    else fallBehind();
  }, keepAliveMs).unref();
  const fallBehind = () => {
    blocked = true;
    fellBehind = true;
    reader.isBehind();
    caller.setBehind(true);
  };
  const pump = () => {
    if (isAborted()) return;
    while (!blocked && next < caller.events.length) {
      const { event, data } = caller.events[next++]!;
      const frame = `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
      if (frame === lastUsage) continue;
      if (event === 'usage') lastUsage = frame;
      if (!write(frame)) fallBehind();
    }
  };
  beginEvents(res, close);
  return new Promise((resolve) => {
    let last: Uint8Array | undefined;
    let written = 0;
    const finish = () => {
      pump();
      if (isAborted()) return resolve();
      if (last === undefined) return;
      while (!blocked && written < last.length) {
        const part = last.subarray(written, written + PART_BYTES);
        written += part.length;
        if (!write(part)) fallBehind();
      }
      // Only who has room for more has read what came before.
      if (blocked || (fellBehind && !write(': that was all\n\n'))) return;
      clearTimeout(silence);
      isEnded = true;
      res.cork(() => {
        res.end();
      });
      resolve();
    };
    res.onWritable(() => {
      blocked = false;
      reader.hasRead();
      caller.setBehind(false);
      finish();
      return true;
    });
    caller.onEvents = pump;
    pump();
    const end = (frame: Uint8Array) => {
      last = frame;
      finish();
    };
    caller.ended.then(
      (ended) => end(lastFrame(ended)),
      // Another process that executed the task is gone, and another body has become the task.
      (error: Error) => end(failedFrame(problemOf('task_conflict', error.message))),
    );
  });
}

const PART_BYTES = 65_536;

/**
 * Whether a caller prefers a stream of events to JSON, by the weights of his Accept header (RFC 9110, 12.5.1); one
 * who takes both alike gets the stream.
 */
export function prefersEvents(accept: string): boolean {
  const weight = weightOf(accept, 'text/event-stream');
  return weight > 0 && weight >= weightOf(accept, 'application/json');
}

/** 0 when the header does not name the type. */
function weightOf(accept: string, type: string): number {
  for (const range of accept.toLowerCase().split(',')) {
    const [name, ...parameters] = range.split(';').map((part) => part.trim());
    if (name !== type) continue;
    const weight = parameters.find((parameter) => parameter.startsWith('q='));
    return weight === undefined ? 1 : Number(weight.slice(2)) || 0;
  }
  return 0;
}

/** The head of a stream of events, and something for proxies to pass on at once. */
export function beginEvents(res: HttpResponse, close = false): void {
  res.cork(() => {
    res
      .writeStatus('200 OK')
      .writeHeader('content-type', 'text/event-stream')
      .writeHeader('cache-control', 'no-cache')
      .writeHeader('x-accel-buffering', 'no');
    if (close) res.writeHeader('connection', 'close');
    res.write(': worker-service\n\n');
  });
}

function lastFrame(ended: TaskOutcome): Uint8Array {
  const { outcome } = ended;
  if (outcome.status === 'completed') {
    return Buffer.concat([
      Buffer.from('event: completed\ndata: '),
      completedJson(ended),
      Buffer.from('\n\n'),
    ]);
  }
  return failedFrame(problemOfFailure(outcome));
}

function failedFrame(problem: Problem): Uint8Array {
  return Buffer.from(`event: failed\ndata: ${JSON.stringify(problem)}\n\n`);
}
