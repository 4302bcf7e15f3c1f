import uWS, {
  type HttpRequest,
  type HttpResponse,
  type TemplatedApp,
  type us_listen_socket,
} from 'uWebSockets.js';
import { problemOf } from '../../contracts/problem.js';
import { openApiDocument } from '../documents/openapi.js';
import { StoreUnavailable } from '../store/store.js';
import { type Access, authorize } from './authorization.js';
import { CallerLimits, limitConnections } from './caller-limits.js';
import { handleExecute } from './execute.js';
import { openLive } from './live.js';
import { changeLogLevel } from './log-level.js';
import { docsFiles, pageFiles } from './page.js';
import type { HttpParts } from './parts.js';
import { json, problem, type Reply, refusal, send } from './reply.js';
import { artifact, cancelTask, metrics, ready, receipt, taskStatus } from './resources.js';
import { afterShortTurn } from './short-turn.js';
import { Unfinished } from './unfinished.js';

export interface HttpServer {
  readonly port: number;
  /** Takes the connections that callers have by now, and no more; those that are open go on. */
  stopListening(): Promise<void>;
  /** Waits until every answer that was begun is written, or for `ms`. */
  answered(ms: number): Promise<void>;
  /** Closes every connection. */
  close(): void;
}

/**
 * Listens and serves every route, under `/api/v1` and at the root.
 * @throws {Error} when the port cannot be had.
 */
export function openHttp(given: Omit<HttpParts, 'unfinished'>): HttpServer {
  const unfinished = new Unfinished(given.config.server.write_timeout_ms);
  const parts: HttpParts = { ...given, unfinished };
  const { tls_key_file, tls_cert_file, max_tasks_per_caller } = parts.config.server;
  const app =
    tls_key_file === undefined || tls_cert_file === undefined
      ? uWS.App()
      : uWS.SSLApp({ key_file_name: tls_key_file, cert_file_name: tls_cert_file });
  limitConnections(app, parts.config.server);
  const callers = new CallerLimits(max_tasks_per_caller);
  const openApi = json(openApiDocument());
  const get = (path: string, access: Access, handler: Handler) => {
    const route = answer(parts, path.replace('/api/v1', ''), access, handler);
    app.get(path, route);
    app.head(path, route);
  };
  for (const prefix of ['', '/api/v1']) {
    app.post(`${prefix}/execute`, (res, req) => handleExecute(parts, callers, res, req));
    get(`${prefix}/tasks/:id`, 'read', taskStatus);
    app.del(`${prefix}/tasks/:id`, answer(parts, '/tasks/:id', 'execute', cancelTask));
    get(`${prefix}/tasks/:id/receipt`, 'read', receipt);
    get(`${prefix}/artifacts/:id`, 'read', artifact);
    get(`${prefix}/health`, 'open', ({ health }) => json(health.summary()));
    get(`${prefix}/health/detailed`, 'read', async ({ health }) => json(await health.detailed()));
    get(`${prefix}/health/live`, 'open', () => json({ status: 'live' }));
    get(`${prefix}/health/ready`, 'open', ready);
    // Nothing listens before the service has started.
    get(`${prefix}/health/startup`, 'open', () => json({ status: 'started' }));
    get(`${prefix}/metrics`, 'read', metrics);
    get(`${prefix}/log-level`, 'read', ({ log }) => json({ level: log.level }));
    app.put(`${prefix}/log-level`, (res, req) => changeLogLevel(parts, res, req));
    get(`${prefix}/openapi.json`, 'read', () => openApi);
    for (const [path, methods] of routes) refuseOtherMethods(app, parts, prefix + path, methods);
  }
  const { page, docs } = parts.config.server;
  if (page) {
    app.get('/live', openLive(parts));
    refuseOtherMethods(app, parts, '/live', 'GET');
  }
  for (const [path, reply] of [...(page ? pageFiles : []), ...(docs ? docsFiles : [])]) {
    get(path, 'open', reply);
    refuseOtherMethods(app, parts, path, 'GET, HEAD');
  }
  app.any(
    '/*',
    answer(parts, 'none', 'open', () => refusal('not_found', 'there is no such route')),
  );
  let socket: us_listen_socket | undefined;
  app.listen(parts.config.server.host, parts.port, (listening) => {
    socket = listening || undefined;
  });
  if (socket === undefined) throw new Error(`port ${parts.port} cannot be listened on`);
  const listening = socket;
  let listens = true;
  const closeSocket = () => {
    if (listens) uWS.us_listen_socket_close(listening);
    listens = false;
  };
  return {
    port: uWS.us_socket_local_port(listening),
    stopListening: async () => {
      // To close the socket resets the connections in its queue: they are taken first.
      await afterShortTurn();
      closeSocket();
    },
    answered: (ms) => unfinished.none(ms),
    close: () => {
      closeSocket();
      app.close();
    },
  };
}

type Handler = (parts: HttpParts, id: string) => Reply | Promise<Reply>;

/** A route without a body: makes the reply, and writes it unless the caller has gone. */
function answer(
  parts: HttpParts,
  endpoint: string,
  access: Access,
  handler: Handler,
): (res: HttpResponse, req: HttpRequest) => void {
  return (res, req) => {
    const startedAt = performance.now();
    let aborted = false;
    res.onAborted(() => {
      aborted = true;
    });
    const id = decoded(req.getParameter(0) ?? '');
    const isHead = req.getMethod() === 'head';
    const decision = authorize(parts.tokens, req, access);
    void (async () => {
      let reply: Reply;
      try {
        reply = 'refusal' in decision ? decision.refusal : await handler(parts, id);
      } catch (error) {
        parts.log.error({ event: 'http_error', error: (error as Error).stack });
        reply =
          error instanceof StoreUnavailable
            ? refusal('store_unavailable', 'the store could not be read')
            : refusal('internal_error', 'the request could not be handled');
      }
      parts.metrics.answered(endpoint, reply.status, (performance.now() - startedAt) / 1000);
      if (!aborted) send(res, reply, { isHead, close: parts.isLeaving(), unfinished: parts.unfinished });
    })();
  };
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

const routes: readonly [path: string, methods: string][] = [
  ['/execute', 'POST'],
  ['/tasks/:id', 'GET, HEAD, DELETE'],
  ['/tasks/:id/receipt', 'GET, HEAD'],
  ['/artifacts/:id', 'GET, HEAD'],
  ['/health', 'GET, HEAD'],
  ['/health/detailed', 'GET, HEAD'],
  ['/health/live', 'GET, HEAD'],
  ['/health/ready', 'GET, HEAD'],
  ['/health/startup', 'GET, HEAD'],
  ['/metrics', 'GET, HEAD'],
  ['/log-level', 'GET, HEAD, PUT'],
  ['/openapi.json', 'GET, HEAD'],
];

function refuseOtherMethods(app: TemplatedApp, parts: HttpParts, path: string, methods: string): void {
  const route = path.replace('/api/v1', '');
  const reply = problem(problemOf('method_not_allowed', `${route} takes ${methods}`), { allow: methods });
  app.any(
    path,
    answer(parts, route, 'open', () => reply),
  );
}
