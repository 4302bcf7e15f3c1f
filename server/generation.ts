import type { Recommendation, RefusalReason, TaskFailureCode } from '../contracts/failures.js';
import type { Attempt, TokenUse } from '../contracts/outcome.js';
import type { Assembled, ModelTarget, Reading, RepairRequest, Verdict } from '../contracts/threads.js';
import type { Violation } from '../contracts/validator.js';
import type { Deadline } from './deadline.js';
import { type ExecutionParts, type ExecutionWatcher, interrupted, type Journal } from './execution.js';
import type { CallStart } from './gateway/gateway.js';
import { StreamReading } from './reading.js';
import { type ResolvedTask, targetOf } from './resolution.js';
import type { Retrieved } from './retrieval.js';
import { beginStage } from './stages.js';

/** What became of a task in one tier. */
export type Generated =
  | { readonly kind: 'completed'; readonly output: Uint8Array; readonly finishReason: string | undefined }
  | { readonly kind: 'escalate'; readonly tier: string }
  | {
      readonly kind: 'failed';
      readonly code: TaskFailureCode;
      readonly detail: string;
      readonly final?: boolean;
      readonly reason?: RefusalReason;
      readonly recommendation?: Recommendation;
      readonly questions?: readonly string[];
      readonly errors?: readonly Violation[];
      readonly retryAfterSeconds?: number;
    };

export interface Generation {
  readonly parts: ExecutionParts;
  readonly resolved: ResolvedTask;
  readonly tier: string;
  readonly retrieved: Retrieved;
  readonly deadline: Deadline;
  readonly watcher: ExecutionWatcher;
  readonly journal: Journal;
  /** What the first attempt here is. */
  readonly entry: 'first' | 'escalation' | 'fallback';
  /** Whether another tier takes over when the endpoint of this one cannot be had. */
  readonly hasFallback: boolean;
}

/** Assembles, streams and judges in one tier, with retries and repairs, until there is an end or the deadline. */
export async function generate(generation: Generation): Promise<Generated> {
  const { parts, resolved, tier, deadline, watcher, journal } = generation;
  const { gateway, output } = parts.config;
  let target = targetOf(parts.config, tier, resolved.task);
  let repair: RepairRequest | undefined;
  let repairsLeft = output.repairs;
  let failuresLeft = gateway.max_attempts;
  let kind: Attempt['kind'] = generation.entry;
  let prompt = await assemblePrompt(generation, target, repair);
  watcher.started(tier, target.model);
  for (;;) {
    if (deadline.interruption !== undefined) return interrupted(deadline.interruption);
    if (prompt.kind === 'overflow') {
      const detail = `the task alone takes ${prompt.promptTokens} tokens, the model leaves ${prompt.budgetTokens}`;
      return refusal(generation, 'context_overflow', 'needs_larger_model', detail);
    }
    journal.context = prompt.context;
    const attempt = await callOnce(generation, target, prompt, kind);
    if (deadline.interruption !== undefined) return interrupted(deadline.interruption);
    if (attempt.kind === 'judged') {
      const { verdict } = attempt;
      switch (verdict.kind) {
        case 'valid':
          journal.notes.push(...verdict.notes);
          return { kind: 'completed', output: verdict.output, finishReason: attempt.finishReason };
        case 'refused':
          return refusal(generation, verdict.reason, verdict.recommendation, verdict.message);
        case 'needs_clarification':
          return {
            kind: 'failed',
            code: 'needs_clarification',
            detail: verdict.message,
            questions: verdict.questions,
            recommendation: 'needs_clarification',
          };
        case 'invalid': {
          const next = repairsLeft > 0 ? repairOf(generation, verdict, target) : undefined;
          if (next === undefined) return invalidOutput(verdict);
          repairsLeft--;
          target = next.target;
          repair = next.repair;
          kind = 'repair';
          journal.attempts.at(-1)!.repair = verdict.fault;
          watcher.reset(verdict.fault, journal.attempts.length + 1);
          prompt = await assemblePrompt(generation, target, repair);
        }
      }
      continue;
    }
    failuresLeft--;
    const waitMs = attempt.retryAfterMs ?? backoffMs(gateway, gateway.max_attempts - failuresLeft);
    if (!attempt.retryable || failuresLeft <= 0 || waitMs >= deadline.left) {
      return {
        kind: 'failed',
        code: attempt.code,
        detail: attempt.detail,
        ...(attempt.retryAfterMs !== undefined && {
          retryAfterSeconds: Math.ceil(attempt.retryAfterMs / 1000),
        }),
      };
    }
    kind = 'retry';
    watcher.reset(attempt.code, journal.attempts.length + 1);
    const pauses = beginStage('wait', journal, watcher);
    await deadline.sleep(waitMs);
    pauses.end();
  }
}

async function assemblePrompt(
  { parts, resolved, tier, retrieved, journal, watcher }: Generation,
  target: ModelTarget,
  repair: RepairRequest | undefined,
): Promise<Assembled> {
  const { task } = resolved;
  const assembles = beginStage('assemble', journal, watcher);
  const assembled = await parts.pools.tier(tier).assemble({
    task,
    tier,
    target,
    template: parts.templates.of(task.domain),
    provided: retrieved.provided,
    retrieved: retrieved.context,
    repair,
  });
  assembles.end();
  return assembled;
}

/** Full jitter over an exponential backoff (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015). */
function backoffMs(gateway: ExecutionParts['config']['gateway'], failure: number): number {
  return Math.random() * Math.min(gateway.backoff_max_ms, gateway.backoff_base_ms * 2 ** failure);
}

function refusal(
  { parts, tier }: Generation,
  reason: RefusalReason,
  recommendation: Recommendation,
  message: string,
): Generated {
  const larger = parts.config.tier_models[tier]!.escalate_to;
  if (recommendation === 'needs_larger_model' && larger !== undefined)
    return { kind: 'escalate', tier: larger };
  return {
    kind: 'failed',
    code: 'refused',
    detail: message || `the worker refused: ${reason}`,
    reason,
    recommendation,
  };
}

type Invalid = Verdict & { kind: 'invalid' };

function invalidOutput({ fault, violations }: Invalid): Generated {
  const detail = {
    wrong_shape: 'the output does not have the shape of its domain',
    cut_off: 'the output was cut off by the limit of output tokens',
    empty: 'the model answered nothing',
    too_large: 'the output is too large',
  }[fault];
  return { kind: 'failed', code: 'output_invalid', detail, errors: violations.slice(0, 32) };
}

/** How to ask again, or undefined where asking again cannot help. */
function repairOf(
  { resolved, parts }: Generation,
  verdict: Invalid,
  target: ModelTarget,
): { readonly target: ModelTarget; readonly repair: RepairRequest | undefined } | undefined {
  switch (verdict.fault) {
    case 'cut_off': {
      const ofCaller = resolved.task.max_output_tokens ?? Number.POSITIVE_INFINITY;
      const most = Math.max(
        parts.config.models[target.model]!.max_output_tokens,
        Math.floor(target.contextWindow * 0.6),
      );
      const higher = Math.min(target.maxOutputTokens * 2, most, ofCaller);
      return higher > target.maxOutputTokens
        ? { target: { ...target, maxOutputTokens: higher }, repair: undefined }
        : undefined;
    }
    case 'wrong_shape':
      return { target, repair: { answer: verdict.answer, violations: verdict.violations } };
    case 'empty':
      return { target, repair: undefined };
    case 'too_large':
      return undefined;
  }
}

type Called =
  | { readonly kind: 'judged'; readonly verdict: Verdict; readonly finishReason: string | undefined }
  | {
      readonly kind: 'failed';
      readonly code: 'gateway_error' | 'gateway_unavailable';
      readonly detail: string;
      readonly retryable: boolean;
      readonly retryAfterMs: number | undefined;
    };

/** One call to the gateway, written down in the journal whatever becomes of it. */
async function callOnce(
  { parts, resolved, tier, deadline, watcher, journal, hasFallback }: Generation,
  target: ModelTarget,
  prompt: Assembled & { kind: 'assembled' },
  kind: Attempt['kind'],
): Promise<Called> {
  const { endpoint } = parts.config.tier_models[tier]!;
  const startedAt = performance.now();
  const startedDate = new Date();
  let headersMs: number | undefined;
  let firstTokenMs: number | undefined;
  let reading: StreamReading | undefined;
  parts.onPrompt?.(resolved.task.task_id, prompt.body);
  const { model, maxOutputTokens } = target;
  const trace = watcher.trace?.beginCall({ tier, endpoint, model, maxOutputTokens });
  const start = await parts.gateway.call(
    {
      endpoint,
      taskId: resolved.task.task_id,
      domain: resolved.task.domain,
      body: prompt.body,
      deadline,
      trace: trace?.context ?? watcher.sender,
      mayWait: !hasFallback,
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
          maxOutputTokens: target.maxOutputTokens,
          maxOutputBytes: parts.config.output.max_bytes,
        },
        stream,
        {
          get live() {
            return watcher.live;
          },
          firstBytes: () => {
            firstTokenMs = since(startedAt);
          },
          progress: (delta, tokens) => watcher.delta(delta, tokens),
          ready: () => watcher.ready(),
        },
      );
      return reading;
    },
  );
  if (start.kind === 'failed' && start.code === 'gateway_unavailable') parts.slots.observe(tier, undefined);
  const read = await reading?.result;
  if (firstTokenMs !== undefined) parts.slots.observe(tier, firstTokenMs);
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
    tokens: tokensOf(prompt, read),
    ...(read !== undefined && read.counted.reasoning > 0 && { reasoning_tokens: read.counted.reasoning }),
    max_output_tokens: target.maxOutputTokens,
    ...(read?.finishReason !== undefined && { finish_reason: read.finishReason }),
    ended: endOf(start, read, deadline),
    ...errorOf(start, read, reading?.detail),
  };
  journal.attempts.push(written);
  trace?.end(written, firstTokenMs === undefined ? undefined : startedAt + firstTokenMs, reading?.endedAt);
  if (start.kind === 'failed') return start;
  if (read === undefined) return brokenCall('the call was interrupted');
  switch (read.end.kind) {
    case 'judged':
      return { kind: 'judged', verdict: read.end.verdict, finishReason: read.finishReason };
    case 'broken':
      return brokenCall(reading?.detail ?? read.end.detail);
    case 'error':
      return {
        ...brokenCall(`the gateway reported an error in its stream: ${read.end.detail}`),
        retryable: read.end.retryable,
      };
  }
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

/** The gateway's own usage counts; without it, ours. A call that was never answered has used nothing. */
function tokensOf(prompt: Assembled & { kind: 'assembled' }, read: Reading | undefined): TokenUse {
  const method = (read?.counted.exact ?? prompt.exact) ? 'exact' : 'approximate';
  if (read === undefined) return { prompt: 0, completion: 0, counted_by: 'tokenizer', method };
  if (read.usage !== undefined) return { ...read.usage, counted_by: 'gateway', method };
  const completion = read.counted.content + read.counted.reasoning;
  return { prompt: prompt.promptTokens, completion, counted_by: 'tokenizer', method };
}

function endOf(start: CallStart, read: Reading | undefined, deadline: Deadline): Attempt['ended'] {
  if (start.kind === 'failed') return start.ended;
  if (deadline.interruption !== undefined || read === undefined) return 'cancelled';
  if (read.end.kind !== 'judged') return 'broken';
  const { verdict } = read.end;
  return verdict.kind === 'invalid' && verdict.early ? 'aborted' : 'finished';
}

function errorOf(
  start: CallStart,
  read: Reading | undefined,
  detail: string | undefined,
): { error?: string } {
  if (start.kind === 'failed') return { error: start.detail };
  if (read === undefined || read.end.kind === 'judged') return {};
  return { error: detail ?? read.end.detail };
}

function since(startedAt: number): number {
  return Math.round((performance.now() - startedAt) * 1000) / 1000;
}
