import { Agent, type Dispatcher } from 'undici';
import type { Config } from '../../config/schema.js';
import type { StreamEnd } from '../../contracts/threads.js';
import type { TraceContext } from '../../contracts/trace-context.js';
import type { Deadline } from '../deadline.js';
import { version } from '../version.js';
import { type CallStart, rejectionOf, unreachableOf } from './call-start.js';
import { decoderOf } from './decoding.js';
import { Endpoint, type EndpointState } from './endpoint.js';

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
    connect: { timeout: gateway.connect_timeout_ms },
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
          headers: headersOf(name, key),
        },
      ] as const;
    }),
  );
  return {
    call: (request, open) => {
      const { endpoint, origin, path, headers } = targets.get(request.endpoint)!;
      const { deadline, mayWait, trace } = request;
      const options: Dispatcher.DispatchOptions = {
        origin,
        path,
        method: 'POST',
        headers: { 'x-task-id': request.taskId, 'x-task-domain': request.domain, ...headers, ...trace },
        body: request.body,
      };
      return endpoint.call(deadline, mayWait, () =>
        follow(options, (to) => dispatch(agent, to, deadline, open, gateway.max_stream_bytes)),
      );
    },
    endpoints: () => new Map([...targets].map(([name, { endpoint }]) => [name, endpoint.state()])),
    probe: async (signal) => {
      const base = new URL(gatewayUrl);
      try {
        const { body } = await agent.request({
          origin: base.origin,
          path: joinPath(base, 'models'),
          method: 'GET',
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

/** Sends a request on to where the gateway has moved (RFC 9110, 15.4.8 and 15.4.9), its key only to the same origin. */
async function follow(
  options: Dispatcher.DispatchOptions,
  send: (options: Dispatcher.DispatchOptions) => Promise<CallStart | Moved>,
): Promise<CallStart> {
  let to = options;
  for (let hop = 0; ; hop++) {
    const start = await send(to);
    if (start.kind !== 'moved') return start;
    const from = new URL(to.path, String(to.origin));
    if (hop === MAX_HOPS || !URL.canParse(start.location, from.href)) return start.otherwise;
    const { protocol, origin, pathname, search } = new URL(start.location, from);
    if (protocol !== 'http:' && protocol !== 'https:') return start.otherwise;
    const { authorization, ...headers } = to.headers as Record<string, string>;
    to = { ...to, origin, path: pathname + search, headers: origin === from.origin ? to.headers! : headers };
  }
}

const MAX_HOPS = 3;

interface Moved {
  readonly kind: 'moved';
  readonly location: string;
  /** What the call is when nobody follows. */
  readonly otherwise: CallStart;
}

function dispatch(
  agent: Agent,
  options: Dispatcher.DispatchOptions,
  deadline: Deadline,
  open: (stream: GatewayStream) => StreamSink,
  maxStreamBytes: number,
): Promise<CallStart | Moved> {
  return new Promise((resolve, reject) => {
    let controller: Dispatcher.DispatchController | undefined;
    let sink: StreamSink | undefined;
    let decoder: ReturnType<typeof decoderOf>;
    let status = 0;
    let retryAfter: string | undefined;
    let location: string | undefined;
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
      if (bytes > maxStreamBytes)
        started.abort(new Error(`the answer is larger than ${maxStreamBytes} bytes`));
      else sink?.data(chunk);
    };
    const end = (ended: StreamEnd, detail?: string) => {
      over();
      sink?.end(ended, detail);
      sink = undefined;
      decoder?.destroy();
    };
    forget = deadline.onInterruption(() => {
      controller?.abort(new Error('interrupted'));
      // A body that has come whole, and is being decoded, is not ended by the abort.
      end('broken', 'interrupted');
      resolve({ kind: 'interrupted', called: true });
    });
    /** What happens in here must end the call, whatever it is: undici tells nobody of what its handlers throw. */
    const settle = (make: () => CallStart | Moved) => {
      over();
      try {
        resolve(make());
      } catch (error) {
        reject(error as Error);
      }
    };
    const rejection = () => rejectionOf(status, retryAfter, Buffer.concat(errorBody));
    agent.dispatch(options, {
      onRequestStart: (started) => {
        controller = started;
        if (deadline.interruption !== undefined) started.abort(new Error('interrupted'));
      },
      onResponseStart: (started, statusCode, headers) => {
        if (statusCode < 200) return;
        status = statusCode;
        retryAfter = firstOf(headers['retry-after']);
        if (status === 307 || status === 308) location = firstOf(headers.location);
        if (!bringsAnswer(status)) {
          errorTimer = setTimeout(
            () => started.abort(new Error('the error answer takes too long')),
            ERROR_BODY_MS,
          );
          return;
        }
        decoder = decoderOf(headers['content-encoding']);
        decoder
          ?.on('data', (chunk: Uint8Array) => take(started, chunk))
          .on('end', () => end('clean'))
          .on('error', (error) => {
            end('broken', error.message);
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
        else {
          settle(() =>
            location === undefined ? rejection() : { kind: 'moved', location, otherwise: rejection() },
          );
        }
      },
      onResponseError: (_controller, error) => {
        const begun = sink !== undefined;
        end('broken', error.message);
        if (begun) return;
        settle(() => {
          if (deadline.interruption !== undefined) return { kind: 'interrupted', called: true };
          return status === 0 ? unreachableOf(error) : rejection();
        });
      },
    });
  });
}

/** A field that should stand there once, and may come more often. */
function firstOf(field: string | string[] | undefined): string | undefined {
  return Array.isArray(field) ? field[0] : field;
}

/** Any success but those that have no body. */
function bringsAnswer(status: number): boolean {
  return status >= 200 && status < 300 && status !== 204 && status !== 205;
}

// What an error says is worth no more: its status is known.
const ERROR_BODY_BYTES = 65_536;
const ERROR_BODY_MS = 1000;

function headersOf(endpoint: string, apiKey: string | undefined): Record<string, string> {
  return {
    'content-type': 'application/json',
    accept: 'text/event-stream, application/json',
    'accept-encoding': 'identity',
    'user-agent': `worker-service/${version}`,
    'x-model-endpoint': endpoint,
    ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
  };
}

function joinPath(base: URL, route: string): string {
  return `${base.pathname.replace(/\/+$/, '')}/${route}`;
}
