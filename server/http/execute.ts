import type { HttpRequest, HttpResponse } from 'uWebSockets.js';
import type { FailureCode } from '../../contracts/failures.js';
import { parseTask } from '../../contracts/parse-task.js';
import { type Problem, problemOf } from '../../contracts/problem.js';
import type { ParsedTask } from '../../contracts/threads.js';
import { traceContextOf } from '../../contracts/trace-context.js';
import { INLINE_BYTES } from '../../pool/pools.js';
import { resolve } from '../resolution.js';
import { Conflict } from '../standing.js';
import { StoreUnavailable } from '../store/store.js';
import { authorize } from './authorization.js';
import { type Body, bodyRefusal, readBody } from './body.js';
import type { CallerLimits } from './caller-limits.js';
import { prefersEvents, streamEvents } from './event-stream.js';
import type { HttpParts } from './parts.js';
import { json, problem, type Reply, replyOf, send } from './reply.js';

/** `POST /execute`: reads, checks and submits a task, and answers with its outcome. */
export function handleExecute(
  parts: HttpParts,
  callers: CallerLimits,
  res: HttpResponse,
  req: HttpRequest,
): void {
  const { config } = parts;
  let aborted = false;
  let leave: (() => void) | undefined;
  const wantsEvents = prefersEvents(req.getHeader('accept'));
  const wantsAsync = /(?:^|,)\s*respond-async\s*(?:[,;]|$)/i.test(req.getHeader('prefer'));
  const trace = traceContextOf(req.getHeader('traceparent'), req.getHeader('tracestate'));
  const path = req.getUrl();
  const contentType = req.getHeader('content-type');
  const contentEncoding = req.getHeader('content-encoding');
  const declaredBytes = Number(req.getHeader('content-length') || 0);
  const startedAt = performance.now();
  const count = (status: number) =>
    parts.metrics.answered('/execute', status, (performance.now() - startedAt) / 1000);
  const answer = (reply: Reply) => {
    count(reply.status);
    admission?.leave();
    if (!aborted) send(res, reply, { close: parts.isLeaving(), unfinished: parts.unfinished });
  };
  const refuse = (code: FailureCode, detail: string, more: Partial<Problem> = {}) => {
    answer(problem(problemOf(code, detail, more as object), headersOf(code)));
  };
  const decision = authorize(parts.tokens, req, 'execute');
  const admission = 'refusal' in decision ? undefined : callers.admit(res, decision.caller);
  const limits = {
    // Nobody makes the service hold a large body who may not send it.
    maxBytes: admission === undefined ? UNWANTED_BYTES : config.server.max_body_bytes,
    timeoutMs: config.server.body_timeout_ms,
    declaredBytes,
  };
  const onBody = (body: Body) => {
    if (admission === undefined) {
      const reply =
        'refusal' in decision
          ? decision.refusal
          : tooMany(config.server.max_tasks_per_caller, callers.retryAfterSeconds(res, decision.caller));
      const close = { headers: { ...reply.headers, connection: 'close' } };
      return answer(body.kind === 'whole' ? reply : { ...reply, ...close });
    }
    if (body.kind !== 'whole') return refuse(...bodyRefusal(body, limits));
    if (!/^application\/json\s*(?:;|$)/i.test(contentType)) {
      return refuse('unsupported_media_type', 'the content-type must be application/json');
    }
    if (!/^(?:identity)?$/i.test(contentEncoding))
      return refuse('unsupported_media_type', 'the body must not be compressed (content-encoding)');
    if (parts.isClosing()) return refuse('shutting_down', 'the service is stopping');
    return void submit(body.bytes).catch((error: Error) => {
      if (error instanceof Conflict) refuse('task_conflict', error.message);
      else if (error instanceof StoreUnavailable) refuse('store_unavailable', error.message);
      else {
        parts.log.error({ event: 'http_error', error: error.stack });
        refuse('internal_error', 'the request could not be handled');
      }
    });
  };
  readBody(res, limits, onBody, () => {
    aborted = true;
    admission?.leave();
    leave?.();
  });

  async function submit(bytes: Uint8Array): Promise<void> {
    const parsed = bytes.length <= INLINE_BYTES ? parseTask(bytes) : await parts.pools.parse({ body: bytes });
    if (aborted) return;
    if (parsed.kind !== 'task') return refuse('invalid_request', detailOf(parsed), errorsOf(parsed));
    const resolved = resolve(config, parsed);
    if ('code' in resolved) {
      return refuse(resolved.code, resolved.detail, {
        errors: [{ path: resolved.path, message: resolved.detail }],
        task_id: parsed.task.task_id,
      });
    }
    // Without a broker the preference is passed over, as RFC 7240 allows.
    if (wantsAsync && parts.events !== undefined) {
      const accepted = await parts.events.accept(resolved, bytes, trace);
      if (aborted) return;
      if (accepted === 'conflict') throw new Conflict();
      if (typeof accepted === 'object' && 'tooLarge' in accepted)
        return refuse('payload_too_large', accepted.tooLarge);
      if (typeof accepted === 'object') return refuse('broker_unavailable', accepted.unavailable);
      if (accepted === 'queued') return answer(queued(resolved.task.task_id, path));
    }
    admission?.takes(parts.slots.turnaroundMs(resolved.tier));
    const caller = parts.tasks.submit(resolved, { from: 'http', origin: trace });
    if ('conflict' in caller) throw new Conflict();
    leave = () => caller.leave();
    try {
      if (wantsEvents) {
        // Whether the task conflicts with a stored one is known before its first event.
        await Promise.race([caller.ended, caller.known]);
        if (aborted) return;
        const written = parts.unfinished.begin();
        leave = () => {
          written();
          count(200);
          caller.leave();
        };
        await streamEvents(res, caller, {
          keepAliveMs: config.server.stream_keep_alive_ms,
          writeTimeoutMs: config.server.write_timeout_ms,
          isAborted: () => aborted,
          close: parts.isLeaving(),
        }).finally(written);
        if (aborted) return;
        admission?.leave();
        count(200);
      } else {
        const ended = await caller.ended;
        answer(replyOf(ended));
      }
    } finally {
      leave = undefined;
    }
  }
}

function tooMany(most: number, retryAfterSeconds: number): Reply {
  const more = { retry_after_seconds: retryAfterSeconds };
  return problem(problemOf('caller_limited', `a caller may have ${most} tasks at a time`, more), {
    'retry-after': String(retryAfterSeconds),
  });
}

function queued(taskId: string, path: string): Reply {
  const location = path.replace(/execute$/, `tasks/${taskId}`);
  const reply = json({ task_id: taskId, status: 'queued' }, 202);
  return { ...reply, headers: { location, 'preference-applied': 'respond-async' } };
}

const UNWANTED_BYTES = 65_536;

function headersOf(code: FailureCode): Record<string, string> | undefined {
  // The rest of a body that was refused while it arrived would be taken for the next request.
  return code === 'payload_too_large' || code === 'request_timeout' ? { connection: 'close' } : undefined;
}

function detailOf(parsed: Exclude<ParsedTask, { kind: 'task' }>): string {
  if (parsed.kind === 'malformed') return parsed.detail;
  const first = parsed.violations[0]!;
  const more = parsed.violations.length > 1 ? ` (and ${parsed.violations.length - 1} more)` : '';
  return `${first.path === '' ? 'the body' : first.path} ${first.message}${more}`;
}

function errorsOf(parsed: Exclude<ParsedTask, { kind: 'task' }>): Partial<Problem> {
  const errors = parsed.kind === 'invalid' ? [...parsed.violations] : [{ path: '', message: parsed.detail }];
  return { errors };
}
