import type { Recommendation, RefusalReason } from '../contracts/failures.js';
import type { GatewayError } from '../contracts/gateway-errors.js';
import type { Attempt, TokenUse } from '../contracts/outcome.js';
import type { Assembled, ModelTarget, Reading, Verdict } from '../contracts/threads.js';
import type { Deadline } from './deadline.js';
import type { ExecutionParts } from './execution-parts.js';
import type { ExecutionWatcher } from './execution-watcher.js';
import type { CallStart } from './gateway/call-start.js';
import type { Journal } from './journal.js';
import { StreamReading } from './reading.js';
import type { ResolvedTask } from './resolution.js';

/** What one call came to. */
export type Called =
  | {
      readonly kind: 'judged';
      readonly verdict: Verdict;
      readonly finishReason: string | undefined;
      /** It is the gateway that refuses: the model has not seen the task. */
      readonly unseen?: boolean;
    }
  | {
      readonly kind: 'failed';
      readonly code: 'gateway_error' | 'gateway_unavailable';
      readonly detail: string;
      readonly retryable: boolean;
      readonly retryAfterMs: number | undefined;
      /** See CallStart. */
      readonly isPaused?: boolean;
    };

/** What a call needs of its execution. */
export interface CallParts {
  readonly parts: ExecutionParts;
  readonly resolved: ResolvedTask;
  readonly tier: string;
  readonly deadline: Deadline;
  readonly watcher: ExecutionWatcher;
  readonly journal: Journal;
  /** Whether another tier takes over when the endpoint of this one cannot be had. */
  readonly hasFallback: boolean;
}

/** One call to the gateway, written down in the journal whatever becomes of it. */
export async function callOnce(
  { parts, resolved, tier, deadline, watcher, journal, hasFallback }: CallParts,
  target: ModelTarget,
  prompt: Assembled & { kind: 'assembled' },
  kind: Attempt['kind'],
): Promise<Called> {
  const { endpoint } = parts.config.tier_models[tier]!;
  const askedAt = performance.now();
  // Later, when the endpoint has asked for a pause, or is being tried by another call.
  let startedAt = askedAt;
  let startedDate = new Date();
  let headersMs: number | undefined;
  let firstTokenMs: number | undefined;
  let reading: StreamReading | undefined;
  parts.onPrompt?.(resolved.task.task_id, prompt.body);
  const { model, maxOutputTokens } = target;
  const trace = watcher.trace?.beginCall({ tier, endpoint, model, maxOutputTokens });
  const start = await parts.gateway.call(
    {
      endpoint,
      tier,
      taskId: resolved.task.task_id,
      domain: resolved.task.domain,
      body: prompt.body,
      deadline,
      trace: trace?.context ?? watcher.sender,
      mayWait: !hasFallback,
      begins: () => {
        startedAt = performance.now();
        startedDate = new Date();
      },
    },
    (stream) => {
      headersMs = since(startedAt);
      reading = new StreamReading(
        parts.pools.tier(tier),
        {
          domain: resolved.task.domain,
          protocol: target.protocol,
          tokenizer: target.tokenizer,
          structured: target.responseFormat === 'json_schema',
          maxOutputTokens: cutOffAt(target),
          maxOutputBytes: parts.config.output.max_bytes,
        },
        stream,
        {
          // No getter: what it sees would stay alive until the next full collection (decision 0020).
          isLive: () => watcher.live,
          firstBytes: () => {
            firstTokenMs = since(startedAt);
            parts.slots.observe(tier, firstTokenMs);
          },
          progress: (delta, tokens) => watcher.delta(delta, tokens),
          voided: () => watcher.reset('reasoning', journal.attempts.length + 1),
          ready: () => watcher.ready(),
        },
      );
      return reading;
    },
  );
  if (start.kind === 'failed' && start.code === 'gateway_unavailable') parts.slots.observe(tier, undefined);
  const came = await reading?.result.catch((error: Error) => error);
  const [read, fault] = came instanceof Error ? [undefined, came] : [came, undefined];
  if (isNotCalled(start)) startedAt = performance.now();
  journal.timings.wait += startedAt - askedAt;
  spend(journal.timings, startedAt, firstTokenMs, reading?.endedAt);
  const written: Attempt = {
    number: journal.attempts.length + 1,
    tier,
    model: read?.model ?? target.model,
    endpoint,
    kind,
    started_at: startedDate.toISOString(),
    ...(headersMs !== undefined && { headers_ms: headersMs }),
    ...(firstTokenMs !== undefined && { first_token_ms: firstTokenMs }),
    duration_ms: since(startedAt),
    tokens: tokensOf(target, prompt, read, fault !== undefined),
    ...(read !== undefined && read.counted.reasoning > 0 && { reasoning_tokens: read.counted.reasoning }),
    max_output_tokens: target.maxOutputTokens,
    ...(read?.finishReason !== undefined && { finish_reason: read.finishReason }),
    ended: fault === undefined ? endOf(start, read, deadline) : 'aborted',
    ...(fault === undefined
      ? faultOf(start, read, reading?.detail)
      : { error: `the answer could not be read: ${fault.message}` }),
  };
  journal.attempts.push(written);
  if (read?.usage !== undefined) {
    const { content, reasoning } = read.counted;
    parts.onUsage(tier, read.usage, { prompt: prompt.promptTokens, completion: content + reasoning });
  }
  trace?.end(written, firstTokenMs === undefined ? undefined : startedAt + firstTokenMs, reading?.endedAt);
  if (fault !== undefined) throw fault;
  if (start.kind === 'failed') return refusedBy(start) ?? start;
  if (read === undefined) return brokenCall('the call was interrupted');
  switch (read.end.kind) {
    case 'judged':
      return { kind: 'judged', verdict: read.end.verdict, finishReason: read.finishReason };
    case 'broken':
      return brokenCall(reading?.detail ?? read.end.detail);
    case 'error': {
      const { detail, retryable, busy, about } = read.end;
      const said = `the gateway reported an error in its stream: ${detail}`;
      return (
        refusedBy({ about, detail: said }) ?? {
          ...brokenCall(said),
          code: busy ? 'gateway_unavailable' : 'gateway_error',
          retryable,
        }
      );
    }
  }
}

/** What the gateway says of the task itself is a refusal, as it would be of the model. */
function refusedBy({
  about,
  detail,
}: {
  readonly about?: GatewayError['about'];
  readonly detail: string;
}): Called | undefined {
  switch (about) {
    case undefined:
      return undefined;
    case 'length':
      return unseen('context_overflow', 'needs_larger_model', detail);
    case 'policy':
      return unseen('declined_by_model', 'needs_clarification', detail);
  }
}

function unseen(reason: RefusalReason, recommendation: Recommendation, message: string): Called {
  const verdict = { kind: 'refused', reason, recommendation, message } as const;
  return { kind: 'judged', verdict, finishReason: undefined, unseen: true };
}

/** Sorts the time of one call: to its first byte, to its last one, and what the thread still took then. */
function spend(
  timings: Journal['timings'],
  startedAt: number,
  firstTokenMs: number | undefined,
  endedAt: number | undefined,
): void {
  const now = performance.now();
  const last = endedAt ?? now;
  const first = firstTokenMs === undefined ? last : startedAt + firstTokenMs;
  timings.first_token += first - startedAt;
  timings.stream += last - first;
  timings.validate += now - last;
}

function brokenCall(detail: string): Called & { kind: 'failed' } {
  return { kind: 'failed', code: 'gateway_error', detail, retryable: true, retryAfterMs: undefined };
}

/**
 * The gateway's own usage counts; without it, ours. A call that was never answered has used nothing; of an answer that
 * could not be read only the prompt is known.
 */
function tokensOf(
  target: ModelTarget,
  prompt: Assembled & { kind: 'assembled' },
  read: Reading | undefined,
  isUnreadable: boolean,
): TokenUse {
  if (isUnreadable)
    return { prompt: prompt.promptTokens, completion: 0, counted_by: 'tokenizer', method: 'approximate' };
  const method = target.exactCounts ? 'exact' : 'approximate';
  if (read === undefined) return { prompt: 0, completion: 0, counted_by: 'tokenizer', method };
  const { usage } = read;
  if (usage !== undefined)
    return { prompt: usage.prompt, completion: usage.completion, counted_by: 'gateway', method };
  const completion = read.counted.content + read.counted.reasoning;
  return { prompt: prompt.promptTokens, completion, counted_by: 'tokenizer', method };
}

function endOf(start: CallStart, read: Reading | undefined, deadline: Deadline): Attempt['ended'] {
  if (start.kind === 'failed') return start.ended;
  if (isNotCalled(start)) return 'not_called';
  if (deadline.interruption !== undefined || read === undefined) return 'cancelled';
  if (read.end.kind !== 'judged') return 'broken';
  const { verdict } = read.end;
  return verdict.kind === 'invalid' && verdict.early ? 'aborted' : 'finished';
}

/** All its time went into waiting for an endpoint that was paused, down, or tried by another call. */
function isNotCalled(start: CallStart): boolean {
  return start.kind === 'failed'
    ? start.ended === 'not_called'
    : start.kind === 'interrupted' && !start.called;
}

/** What was wrong with the call, or with its answer. */
function faultOf(
  start: CallStart,
  read: Reading | undefined,
  detail: string | undefined,
): Pick<Attempt, 'error' | 'errors' | 'refusal'> {
  if (start.kind === 'failed') return { error: start.detail };
  if (read === undefined) return {};
  if (read.end.kind !== 'judged') return { error: detail ?? read.end.detail };
  const { verdict } = read.end;
  if (verdict.kind === 'invalid') return { errors: [...verdict.violations] };
  if (verdict.kind !== 'refused') return {};
  const { reason, recommendation, message } = verdict;
  return { refusal: { reason, recommendation, message } };
}

function since(startedAt: number): number {
  return Math.round((performance.now() - startedAt) * 1000) / 1000;
}

/** Where an output is cut off: a model whose tokens are counted with another one's vocabulary may be within its limit beyond ours. */
function cutOffAt({ maxOutputTokens, exactCounts }: ModelTarget): number {
  return exactCounts ? maxOutputTokens : Math.ceil(maxOutputTokens * APPROXIMATE);
}

const APPROXIMATE = 1.5;
