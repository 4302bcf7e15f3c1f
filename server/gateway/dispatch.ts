import type { IncomingHttpHeaders } from 'node:http';
import type { Agent, Dispatcher } from 'undici';
import type { StreamEnd } from '../../contracts/threads.js';
import type { Deadline } from '../deadline.js';
import { AnswerBody, type GatewayStream, type StreamLimits, type StreamSink } from './answer-body.js';
import {
  brokenOff,
  type CallStart,
  type Failure,
  firstOf,
  rejectionOf,
  undecodable,
  unreachableOf,
} from './call-start.js';
import { codingOf } from './decoding.js';
import type { Moved, Stale } from './follow.js';
import { isStale } from './stale.js';

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
    let body: AnswerBody | undefined;
    let status = 0;
    let fields: IncomingHttpHeaders = {};
    let errorBytes = 0;
    const errorBody: Uint8Array[] = [];
    let errorTimer: NodeJS.Timeout | undefined;
    let forget = () => {};
    const over = () => {
      forget();
      clearTimeout(errorTimer);
    };
    const end = (ended: StreamEnd, detail?: string) => {
      over();
      body?.end(ended, detail);
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
        body = new AnswerBody(started, coding, limits, over);
        body.openTo(open(body));
        resolve({ kind: 'streaming' });
      },
      onResponseData: (started, chunk) => {
        if (body !== undefined) body.write(chunk);
        else if (!bringsAnswer(status)) {
          errorBytes += chunk.length;
          if (errorBytes <= ERROR_BODY_BYTES) errorBody.push(Buffer.from(chunk));
          else started.abort(new Error('the error answer is too large'));
        }
      },
      onResponseEnd: () => {
        if (body !== undefined) body.finish();
        else settle(unanswered);
      },
      onResponseError: (_controller, error) => {
        end('broken', brokenOff(error));
        if (body !== undefined) return;
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
