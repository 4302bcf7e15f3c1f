import type { HttpRequest, HttpResponse } from 'uWebSockets.js';
import { type LogLevel, logLevels } from '../../contracts/cluster.js';
import { readJson } from '../../contracts/parse-task.js';
import { problemOf } from '../../contracts/problem.js';
import { authorize } from './authorization.js';
import { bodyRefusal, readBody } from './body.js';
import type { HttpParts } from './parts.js';
import { json, problem, type Reply, refusal, send } from './reply.js';

/** `PUT /log-level`: changes the least severity that is logged, in all processes of the node and those that replace them. */
export function changeLogLevel(parts: HttpParts, res: HttpResponse, req: HttpRequest): void {
  const decision = authorize(parts.tokens, req, 'admin');
  const limits = {
    maxBytes: 1024,
    timeoutMs: parts.config.server.body_timeout_ms,
    declaredBytes: Number(req.getHeader('content-length') || 0),
  };
  readBody(
    res,
    limits,
    (body) => {
      const isWhole = body.kind === 'whole';
      const reply =
        'refusal' in decision
          ? decision.refusal
          : isWhole
            ? change(parts, body.bytes)
            : refusal(...bodyRefusal(body, limits));
      parts.metrics.answered('/log-level', reply.status, 0);
      send(res, reply, { close: !isWhole || parts.isLeaving() });
    },
    () => {},
  );
}

function change({ log, setLogLevel }: HttpParts, bytes: Uint8Array): Reply {
  const read = readJson(bytes);
  const value = read.kind === 'json' ? (read.value as { level?: unknown } | null) : undefined;
  const level = logLevels.find((name) => name === value?.level);
  if (level === undefined)
    return problem(problemOf('invalid_request', `/level must be one of ${logLevels.join(', ')}`));
  log.warn({ event: 'log_level_changed', from: log.level, to: level });
  setLogLevel(level);
  return json({ level } satisfies { level: LogLevel });
}
