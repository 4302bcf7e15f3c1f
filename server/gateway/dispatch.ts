import type { IncomingHttpHeaders } from 'node:http';
import type { Agent, Dispatcher } from 'undici';
import type { StreamEnd } from '../../contracts/threads.js';
import type { Deadline } from '../deadline.js';
import {
  brokenOff,
  type CallStart,
  type Failure,
  firstOf,
  rejectionOf,
  undecodable,
  unreachableOf,
} from './call-start.js';
import { codingOf, decoderOf } from './decoding.js';
import type { Moved, Stale } from './follow.js';
import { isStale } from './stale.js';

/** An answer that has begun. */
export interface GatewayStream {
  pause(): void;
  resume(): void;
  /** Closes the connection, so that the gateway stops generating. */
  abort(): void;
}

/** Takes the bytes of an answer; `end` is called once, at last. */
export interface StreamSink {
  data(chunk: Uint8Array): void;
  end(ended: StreamEnd, detail?: string): void;
}

export interface StreamLimits {
  /** Largest answer. */
  readonly bytes: number;
  /** Longest silence once the first bytes have come, in milliseconds; those may take as long as the deadline allows. */
  readonly idleMs: number;
}

/**
 * Sends one request. `open` is called when its answer begins; it resolves then, or when there will be none. An answer
 * beyond the limits is broken off.
 */
export function dispatch(
  agent: Agent,
  options: Dispatcher.DispatchOptions,
  deadline: Deadline,
  open: (stream: GatewayStream) => StreamSink,
  limits: StreamLimits,
): Promise<CallStart | Moved | Stale> {
  return new Promise((resolve, reject) => {
    let controller: Dispatcher.DispatchController | undefined;
    let sink: StreamSink | undefined;
    let decoder: ReturnType<typeof decoderOf>;
    let status = 0;
    let fields: IncomingHttpHeaders = {};
    let bytes = 0;
    const errorBody: Uint8Array[] = [];
    let errorTimer: NodeJS.Timeout | undefined;
    let idleTimer: NodeJS.Timeout | undefined;
    let isPaused = false;
    let forget = () => {};
    const over = () => {
      forget();
      clearTimeout(errorTimer);
      clearTimeout(idleTimer);
    };
    const take = (started: Dispatcher.DispatchController, chunk: Uint8Array) => {
      if (sink === undefined) return;
      bytes += chunk.length;
      if (bytes > limits.bytes) return breakOff(started, `the answer is larger than ${limits.bytes} bytes`);
      if (idleTimer === undefined) expectMore(started);
      else idleTimer.refresh();
      sink.data(chunk);
    };
    const expectMore = (started: Dispatcher.DispatchController) => {
      const fallSilent = () => breakOff(started, 'the stream of the gateway fell silent');
      if (sink !== undefined && bytes > 0 && !isPaused) idleTimer = setTimeout(fallSilent, limits.idleMs);
    };
    const breakOff = (started: Dispatcher.DispatchController, detail: string) => {
      // A body that has come whole, and is being decoded, is not ended by the abort.
      end('broken', detail);
      started.abort(new Error(detail));
    };
    const end = (ended: StreamEnd, detail?: string) => {
      over();
      sink?.end(ended, detail);
      sink = undefined;
      decoder?.destroy();
    };
    forget = deadline.onInterruption(() => {
      // First, or it would be told of as a stream that broke off.
      end('broken', 'the call was interrupted');
      controller?.abort(new Error('interrupted'));
      resolve({ kind: 'interrupted', called: true });
    });
    /** What happens in here must end the call, whatever it is: undici tells nobody of what its handlers throw. */
    const settle = (make: () => CallStart | Moved | Stale) => {
      over();
      try {
        resolve(make());
      } catch (error) {
        reject(error as Error);
      }
    };
    const unanswered = (): CallStart | Moved => {
      const rejection = withoutKey(
        rejectionOf(status, fields, Buffer.concat(errorBody), options.path),
        options.headers as Record<string, string>,
      );
      const location = firstOf(fields.location);
      const keepsMethod = status === 301 || status === 307 || status === 308;
      return keepsMethod && location !== undefined
        ? { kind: 'moved', location, otherwise: rejection }
        : rejection;
    };
    agent.dispatch(options, {
      onRequestStart: (started) => {
        controller = started;
        if (deadline.interruption !== undefined) started.abort(new Error('interrupted'));
      },
      onResponseStart: (started, statusCode, headers) => {
        if (statusCode < 200) return;
        status = statusCode;
        fields = headers;
        const coding = codingOf(headers['content-encoding']);
        if (bringsAnswer(status) && coding === 'unknown') {
          resolve(undecodable(firstOf(headers['content-encoding'])));
          started.abort(new Error('not asked for'));
          return;
        }
        if (!bringsAnswer(status)) {
          errorTimer = setTimeout(
            () => started.abort(new Error('the error answer takes too long')),
            ERROR_BODY_MS,
          );
          return;
        }
        decoder = decoderOf(coding);
        decoder
          ?.on('data', (chunk: Uint8Array) => take(started, chunk))
          .on('end', () => end('clean'))
          .on('error', (error) => {
            end('broken', brokenOff(error));
            started.abort(error);
          });
        sink = open({
          pause: () => {
            started.pause();
            decoder?.pause();
            isPaused = true;
            clearTimeout(idleTimer);
            idleTimer = undefined;
          },
          resume: () => {
            started.resume();
            decoder?.resume();
            isPaused = false;
            expectMore(started);
          },
          abort: () => {
            started.abort(new Error('no longer wanted'));
            decoder?.destroy();
          },
        });
        resolve({ kind: 'streaming' });
      },
      onResponseData: (started, chunk) => {
        if (decoder !== undefined) decoder.write(chunk);
        else if (sink !== undefined) take(started, chunk);
        else if (!bringsAnswer(status)) {
          bytes += chunk.length;
          if (bytes <= ERROR_BODY_BYTES) errorBody.push(Buffer.from(chunk));
          else started.abort(new Error('the error answer is too large'));
        }
      },
      onResponseEnd: () => {
        if (decoder !== undefined) decoder.end();
        else if (sink !== undefined) end('clean');
        else settle(unanswered);
      },
      onResponseError: (_controller, error) => {
        const begun = sink !== undefined;
        end('broken', brokenOff(error));
        if (begun) return;
        settle(() => {
          if (deadline.interruption !== undefined) return { kind: 'interrupted', called: true };
          if (status !== 0) return unanswered();
          const otherwise = unreachableOf(error);
          return isStale(error) ? { kind: 'stale', otherwise } : otherwise;
        });
      },
    });
  });
}

/** Some gateways repeat the key that they do not take. */
function withoutKey(failure: Failure, { authorization }: Record<string, string>): Failure {
  const key = authorization?.slice(authorization.indexOf(' ') + 1);
  return key === undefined || key.length < KEY_CHARACTERS
    ? failure
    : { ...failure, detail: failure.detail.replaceAll(key, '***') };
}

// What is shorter may stand anywhere.
const KEY_CHARACTERS = 6;

/** Any success but those that have no body. */
function bringsAnswer(status: number): boolean {
  return status >= 200 && status < 300 && status !== 204 && status !== 205;
}

// What an error says is worth no more: its status is known.
const ERROR_BODY_BYTES = 65_536;
const ERROR_BODY_MS = 1000;
