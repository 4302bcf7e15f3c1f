import type { IncomingHttpHeaders } from 'node:http';
import { Agent, type Dispatcher } from 'undici';
import type { Config } from '../../config/schema.js';
import type { StreamEnd } from '../../contracts/threads.js';
import type { TraceContext } from '../../contracts/trace-context.js';
import { basicAuthorizationOf } from '../basic-authorization.js';
import type { Deadline } from '../deadline.js';
import { version } from '../version.js';
import {
  brokenOff,
  type CallStart,
  type Failure,
  firstOf,
  rejectionOf,
  unreachableOf,
} from './call-start.js';
import { codingOf, decoderOf } from './decoding.js';
import { Endpoint, type EndpointState } from './endpoint.js';
import { follow, type Moved, type Stale } from './follow.js';
import { connectorThatTells, isStale } from './stale.js';

/** A request to the model gateway, made ready by a thread. */
export interface GatewayRequest {
  readonly endpoint: string;
  readonly taskId: string;
  readonly domain: string;
  /** JSON in UTF-8. */
  readonly body: Uint8Array;
  readonly deadline: Deadline;
  readonly trace: TraceContext | undefined;
  /** Whether to wait for an endpoint that asked for a pause, or to fail at once because there is another one. */
  readonly mayWait: boolean;
}

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

export interface Gateway {
  /**
   * Calls the endpoint's model, unless the endpoint is known to be down. `open` is called with the answer when its headers say 200; what it returns
   * takes the bytes. Never throws, never retries.
   */
  call(request: GatewayRequest, open: (stream: GatewayStream) => StreamSink): Promise<CallStart>;
  /** What is known of each endpoint that was called. */
  endpoints(): ReadonlyMap<string, EndpointState>;
  /** Whether something answers at the gateway's address. Any HTTP answer counts. */
  probe(signal: AbortSignal): Promise<boolean>;
  close(): Promise<void>;
}

/** The client of OpenAI-compatible servers and of the sister gateway, on undici with keep-alive connections. */
export function openGateway(config: Config, gatewayUrl: string): Gateway {
  const { gateway } = config;
  const agent = new Agent({
    connections: gateway.connections,
    pipelining: 1,
    keepAliveTimeout: 30_000,
    connect: connectorThatTells(gateway.connect_timeout_ms),
    // The first token may take as long as the tier's deadline allows; the deadline aborts the call.
    headersTimeout: 0,
    bodyTimeout: gateway.idle_timeout_ms,
  });
  const targets = new Map(
    Object.entries(config.endpoints).map(([name, endpoint]) => {
      const base = new URL(endpoint.url ?? gatewayUrl);
      const route = endpoint.protocol === 'generate' ? 'generate' : 'chat/completions';
      const key = endpoint.api_key ?? gateway.api_key;
      return [
        name,
        {
          endpoint: new Endpoint(name, gateway),
          origin: base.origin,
          path: joinPath(base, route),
          headers: headersOf(name, authorizationOf(base, key)),
        },
      ] as const;
    }),
  );
  /** The names of endpoints that do not know the parameter `stream_options`, and have refused it. */
  const refuseStreamOptions = new Set<string>();
  return {
    call: (request, open) => {
      const { endpoint, origin, path, headers } = targets.get(request.endpoint)!;
      const { deadline, mayWait, trace } = request;
      const options: Dispatcher.DispatchOptions = {
        origin,
        path,
        method: 'POST',
        headers: { 'x-task-id': request.taskId, 'x-task-domain': request.domain, ...headers, ...trace },
      };
      const send = (body: Uint8Array) =>
        follow({ ...options, body }, (to) => dispatch(agent, to, deadline, open, gateway.max_stream_bytes));
      return endpoint.call(deadline, mayWait, async () => {
        if (refuseStreamOptions.has(request.endpoint)) return send(withoutStreamOptions(request.body));
        const start = await send(request.body);
        if (start.kind !== 'failed' || start.refusesStreamOptions !== true) return start;
        const again = await send(withoutStreamOptions(request.body));
        if (again.kind === 'streaming') refuseStreamOptions.add(request.endpoint);
        return again;
      });
    },
    endpoints: () => new Map([...targets].map(([name, { endpoint }]) => [name, endpoint.state()])),
    probe: async (signal) => {
      const base = new URL(gatewayUrl);
      try {
        const { body } = await agent.request({
          origin: base.origin,
          path: joinPath(base, 'models'),
          method: 'GET',
          headers: headersOf(undefined, authorizationOf(base, gateway.api_key)),
          headersTimeout: 2000,
          signal,
        });
        await body.dump();
        return true;
      } catch {
        return false;
      }
    },
    close: () => agent.destroy(),
  };
}

/** The request without the parameter that asks for usage in the stream: some servers refuse what they do not know. */
function withoutStreamOptions(body: Uint8Array): Uint8Array {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const at = bytes.lastIndexOf(STREAM_OPTIONS);
  return at < 0 ? body : Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + STREAM_OPTIONS.length)]);
}

// Its quotes are not escaped, so it does not stand in a message.
const STREAM_OPTIONS = ',"stream_options":{"include_usage":true}';

function dispatch(
  agent: Agent,
  options: Dispatcher.DispatchOptions,
  deadline: Deadline,
  open: (stream: GatewayStream) => StreamSink,
  maxStreamBytes: number,
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
    let forget = () => {};
    const over = () => {
      forget();
      clearTimeout(errorTimer);
    };
    const take = (started: Dispatcher.DispatchController, chunk: Uint8Array) => {
      bytes += chunk.length;
      if (bytes <= maxStreamBytes) {
        sink?.data(chunk);
        return;
      }
      const detail = `the answer is larger than ${maxStreamBytes} bytes`;
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
      controller?.abort(new Error('interrupted'));
      end('broken', 'interrupted');
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
          },
          resume: () => {
            started.resume();
            decoder?.resume();
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

function undecodable(contentEncoding: string | undefined): Failure {
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

/** Any success but those that have no body. */
function bringsAnswer(status: number): boolean {
  return status >= 200 && status < 300 && status !== 204 && status !== 205;
}

// What an error says is worth no more: its status is known.
const ERROR_BODY_BYTES = 65_536;
const ERROR_BODY_MS = 1000;

function headersOf(endpoint: string | undefined, authorization: string | undefined): Record<string, string> {
  return {
    accept: 'text/event-stream, application/json',
    'accept-encoding': 'identity',
    'user-agent': `worker-service/${version}`,
    ...(endpoint === undefined ? {} : { 'content-type': 'application/json', 'x-model-endpoint': endpoint }),
    ...(authorization === undefined ? {} : { authorization }),
  };
}

/** A key, else the user and password of the URL. */
function authorizationOf(base: URL, key: string | undefined): string | undefined {
  return key === undefined ? basicAuthorizationOf(base) : `Bearer ${key}`;
}

/** The base may be the address of the completions, as it is often written down. */
function joinPath(base: URL, route: string): string {
  return `${base.pathname.replace(/\/+$/, '').replace(/\/chat\/completions$/, '')}/${route}`;
}
