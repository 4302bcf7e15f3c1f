import uWS, {
  type HttpRequest,
  type HttpResponse,
  type TemplatedApp,
  type us_listen_socket,
} from 'uWebSockets.js';
import { Registry } from 'prom-client';
import type { Config } from '../../config/schema.js';
import type { LogLevel } from '../../contracts/cluster.js';
import type { FailureCode } from '../../contracts/failures.js';
import { problemOf } from '../../contracts/problem.js';
import { idPattern, taskLimits } from '../../contracts/task.js';
import type { Pools } from '../../pool/pools.js';
import { openApiDocument } from '../documents/openapi.js';
import type { Events } from '../events/events.js';
import type { Health } from '../health.js';
import type { Leases } from '../leases.js';
import type { Log } from '../log.js';
import type { Metrics } from '../metrics.js';
import { type ArtifactStore, StoreUnavailable } from '../store/store.js';
import type { Tasks } from '../tasks.js';
import type { Tokens } from '../tokens/tokens.js';
import { type Access, authorize } from './authorization.js';
import { CallerLimits, limitConnections } from './caller-limits.js';
import { handleExecute } from './execute.js';
import { openLive } from './live.js';
import { changeLogLevel } from './log-level.js';
import { docsFiles, pageFiles } from './page.js';
import { completedJson, json, problem, type Reply, send } from './reply.js';

/** What the HTTP edge needs of the service. */
export interface HttpParts {
  /** Port to listen on; 0 is any free one. */
  readonly port: number;
  readonly config: Config;
  readonly pools: Pools;
  readonly tasks: Tasks;
  readonly store: ArtifactStore;
  readonly leases: Leases;
  /** Undefined when no broker is configured. */
  readonly events: Events | undefined;
  readonly health: Health;
  readonly metrics: Pick<Metrics, 'answered'>;
  /** The metrics of the node, in the Prometheus text format. */
  readonly metricsText: () => Promise<string>;
  /** The node as it is now, for who watches. */
  readonly snapshot: () => Promise<object>;
  readonly log: Log;
  /** Undefined when no token is asked for. */
  readonly tokens: Tokens | undefined;
  /** In all processes of the node. */
  setLogLevel(level: LogLevel): void;
  isClosing(): boolean;
  /** Whether each connection is to be closed with its next answer. */
  isLeaving(): boolean;
}

export interface HttpServer {
  readonly port: number;
  /** Takes no new connections; those that are open go on. */
  stopListening(): void;
  /** Closes every connection. */
  close(): void;
}

/**
 * Listens and serves every route, under `/api/v1` and at the root.
 * @throws {Error} when the port cannot be had.
 */
export function openHttp(parts: HttpParts): HttpServer {
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
    refuseOtherMethods(app, parts, prefix);
  }
  if (parts.config.server.page) {
    app.get('/live', openLive(parts));
    for (const [path, reply] of pageFiles) get(path, 'open', reply);
  }
  if (parts.config.server.docs) {
    for (const [path, reply] of docsFiles) get(path, 'open', reply);
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
  const stopListening = () => {
    if (listens) uWS.us_listen_socket_close(listening);
    listens = false;
  };
  return {
    port: uWS.us_socket_local_port(listening),
    stopListening,
    close: () => {
      stopListening();
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
      if (!aborted) send(res, reply, { isHead, close: parts.isLeaving() });
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

function refuseOtherMethods(app: TemplatedApp, parts: HttpParts, prefix: string): void {
  for (const [path, methods] of routes) {
    const reply = problem(problemOf('method_not_allowed', `${path} takes ${methods}`), { allow: methods });
    app.any(
      prefix + path,
      answer(parts, path, 'open', () => reply),
    );
  }
}

async function taskStatus({ tasks, store, leases }: HttpParts, id: string): Promise<Reply> {
  if (!isId(id)) return notFound('task', id);
  if (tasks.isRunning(id) || (await leases.isHeld(id))) return json({ task_id: id, status: 'running' });
  const record = await store.find(id);
  if (record?.final !== true) {
    // A failure that is tried again waits in the broker like a task that was never tried.
    const pending = await store.pending(id);
    if (pending?.queuedHash !== undefined) return json({ task_id: id, status: 'queued' });
  }
  if (record === undefined) return notFound('task', id);
  const { outcome, final } = record;
  if (outcome.status === 'failed') return json({ task_id: id, status: 'failed', outcome });
  const stored = await store.artifact(outcome.artifact_id);
  const body = Buffer.concat([
    Buffer.from(`${JSON.stringify({ task_id: id, status: 'completed' }).slice(0, -1)},"outcome":`),
    completedJson({ outcome, output: stored?.output, final }),
    Buffer.from('}'),
  ]);
  return { status: 200, contentType: 'application/json', body };
}

async function cancelTask({ tasks, store, leases }: HttpParts, id: string): Promise<Reply> {
  if (!isId(id)) return notFound('task', id);
  const cancelling = json({ task_id: id, status: 'cancelling' }, 202);
  if (tasks.cancel(id)) return cancelling;
  const record = await store.find(id);
  const pending = record?.final === true ? undefined : await store.pending(id);
  if (pending?.queuedHash !== undefined || (await leases.isHeld(id))) {
    await tasks.cancelWherever(id, '');
    return cancelling;
  }
  if (record === undefined) return notFound('task', id);
  return refusal('task_conflict', `the task has ended: ${record.outcome.status}`);
}

async function receipt({ store }: HttpParts, id: string): Promise<Reply> {
  const found = isId(id) ? await store.receipt(id) : undefined;
  return found === undefined ? notFound('task', id) : json(found);
}

async function artifact({ store }: HttpParts, id: string): Promise<Reply> {
  const found = isId(id) ? await store.artifact(id) : undefined;
  if (found === undefined) return notFound('artifact', id);
  const head = JSON.stringify({
    artifact_id: found.artifactId,
    task_id: found.taskId,
    domain: found.domain,
    created_at: new Date(found.createdAt).toISOString(),
  });
  const body = Buffer.concat([Buffer.from(`${head.slice(0, -1)},"output":`), found.output, Buffer.from('}')]);
  return { status: 200, contentType: 'application/json', body };
}

async function metrics({ metricsText }: HttpParts): Promise<Reply> {
  return { status: 200, contentType: Registry.PROMETHEUS_CONTENT_TYPE, body: await metricsText() };
}

async function ready({ health }: HttpParts): Promise<Reply> {
  const state = await health.ready();
  return json(state, state.ready ? 200 : 503);
}

function notFound(what: string, id: string): Reply {
  return refusal('not_found', isId(id) ? `there is no ${what} ${id}` : `there is no such ${what}`);
}

function refusal(code: FailureCode, detail: string): Reply {
  return problem(problemOf(code, detail));
}

const id = new RegExp(idPattern);

function isId(text: string): boolean {
  return text.length <= taskLimits.idCharacters && id.test(text);
}
