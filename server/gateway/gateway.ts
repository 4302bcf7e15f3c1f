import { Agent, type Dispatcher } from 'undici';
import type { Config } from '../../config/schema.js';
import type { TraceContext } from '../../contracts/trace-context.js';
import { answers } from '../answers.js';
import type { Deadline } from '../deadline.js';
import { authorizationOf, headersOf, joinPath } from './addressing.js';
import type { GatewayStream, StreamSink } from './answer-body.js';
import type { CallStart } from './call-start.js';
import { dispatch } from './dispatch.js';
import { Endpoint, type EndpointState } from './endpoint.js';
import { follow } from './follow.js';
import { connectorThatTells } from './stale.js';
import { withoutStreamOptions } from './stream-options.js';

/** A request to the model gateway, made ready by a thread. */
export interface GatewayRequest {
  readonly endpoint: string;
  readonly tier: string;
  readonly taskId: string;
  readonly domain: string;
  /** JSON in UTF-8. */
  readonly body: Uint8Array;
  readonly deadline: Deadline;
  readonly trace: TraceContext | undefined;
  /** Whether to wait for an endpoint that asked for a pause, or to fail at once because there is another one. */
  readonly mayWait: boolean;
  /** Called when the endpoint is asked, after all such waiting; not when it is not. */
  readonly begins: () => void;
}

export interface Gateway {
  /**
   * Calls the endpoint's model, unless the endpoint is known to be down. `open` is called with the answer when its headers say 200; what it returns
   * takes the bytes. Never throws, never retries.
   */
  call(request: GatewayRequest, open: (stream: GatewayStream) => StreamSink): Promise<CallStart>;
  /** What is known of each endpoint that was called. */
  endpoints(): ReadonlyMap<string, EndpointState>;
  /** Whether something answers at the address of each endpoint in use. Any HTTP answer counts. */
  probe(signal: AbortSignal): Promise<boolean>;
  close(): Promise<void>;
}

/**
 * The client of OpenAI-compatible servers and of the sister gateway, on undici with keep-alive connections.
 * @param gatewayUrl of endpoints that have no `url` of their own; undefined where none is in use.
 */
export function openGateway(config: Config, gatewayUrl: string | undefined): Gateway {
  const { gateway } = config;
  const openAgent = () =>
    new Agent({
      connections: gateway.connections,
      pipelining: 1,
      keepAliveTimeout: 30_000,
      connect: connectorThatTells(gateway.connect_timeout_ms),
      // The first token may take as long as the tier's deadline allows; the deadline aborts the call. Many servers send the
      // head of an answer at once, and wait for it after that.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  // A tier that hangs on all its connections leaves those of the others alone.
  const agents = new Map(Object.keys(config.tier_models).map((tier) => [tier, openAgent()]));
  const prober = openAgent();
  const targets = new Map(
    Object.entries(config.endpoints).flatMap(([name, endpoint]) => {
      const url = endpoint.url ?? gatewayUrl;
      if (url === undefined) return [];
      const base = new URL(url);
      const route = endpoint.protocol === 'generate' ? 'generate' : 'chat/completions';
      const key = endpoint.api_key ?? gateway.api_key;
      const target = {
        endpoint: new Endpoint(name, gateway),
        origin: base.origin,
        path: joinPath(base, route),
        headers: headersOf(name, authorizationOf(base, key)),
      };
      return [[name, target] as const];
    }),
  );
  /** The addresses in use. */
  const probed = new Map(
    Object.values(config.tier_models).map(({ endpoint }) => {
      const { url = gatewayUrl!, api_key = gateway.api_key } = config.endpoints[endpoint]!;
      return [url, api_key];
    }),
  );
  const limits = { bytes: gateway.max_stream_bytes, idleMs: gateway.idle_timeout_ms };
  /** The names of endpoints that do not know the parameter `stream_options`, and have refused it. */
  const refuseStreamOptions = new Set<string>();
  return {
    call: (request, open) => {
      const { endpoint, origin, path, headers } = targets.get(request.endpoint)!;
      const { deadline, mayWait, trace } = request;
      const agent = agents.get(request.tier)!;
      const options: Dispatcher.DispatchOptions = {
        origin,
        path,
        method: 'POST',
        headers: { 'x-task-id': request.taskId, 'x-task-domain': request.domain, ...headers, ...trace },
      };
      const send = (body: Uint8Array) =>
        follow({ ...options, body }, (to) => dispatch(agent, to, deadline, open, limits));
      return endpoint.call(deadline, mayWait, async () => {
        request.begins();
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
      const asked = [...probed].map(([url, key]) => {
        const base = new URL(url);
        return answers(prober, {
          origin: base.origin,
          path: joinPath(base, 'models'),
          headers: headersOf(undefined, authorizationOf(base, key)),
          headersTimeout: 2000,
          signal,
        });
      });
      return (await Promise.all(asked)).every(Boolean);
    },
    close: async () => {
      await Promise.all([prober, ...agents.values()].map((agent) => agent.destroy()));
    },
  };
}
