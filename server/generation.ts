import type { Recommendation, RefusalReason } from '../contracts/failures.js';
import type { Attempt } from '../contracts/outcome.js';
import type { Assembled, ModelTarget, RepairRequest, Verdict } from '../contracts/threads.js';
import { type CallParts, callOnce } from './attempt.js';
import type { ExecutionParts } from './execution-parts.js';
import { type Generated, interrupted } from './outcome.js';
import { targetOf } from './resolution.js';
import type { Retrieved } from './retrieval.js';
import { beginStage } from './stages.js';
import { FREE_AFTER_MS } from './wait-queue.js';

/** The work on a task in one tier. */
export interface Generation extends CallParts {
  readonly retrieved: Retrieved;
  /** What the first attempt here is. */
  readonly entry: 'first' | 'escalation' | 'fallback';
}

/** Assembles, streams and judges in one tier, with retries and repairs, until there is an end or the deadline. */
export async function generate(generation: Generation): Promise<Generated> {
  const { parts, resolved, tier, deadline, watcher, journal } = generation;
  const { gateway, output } = parts.config;
  let target = targetOf(parts.config, tier, resolved.task);
  let repair: RepairRequest | undefined;
  let rejected: Invalid | undefined;
  let repairsLeft = output.repairs;
  let failuresLeft = gateway.max_attempts;
  let kind: Attempt['kind'] = generation.entry;
  let prompt = await assemblePrompt(generation, target, repair);
  watcher.started(tier, target.model);
  for (;;) {
    if (deadline.interruption !== undefined) return interrupted(deadline.interruption);
    if (prompt.kind === 'overflow') {
      // It is not the task that is too long, but what the repair adds to it.
      if (rejected !== undefined) return invalidOutput(rejected);
      const { promptTokens, exact, budgetTokens } = prompt;
      const detail = `the task alone takes ${exact ? '' : 'more than '}${promptTokens} tokens, the model leaves ${budgetTokens}`;
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
          // It is not the task that the gateway refuses, but what the repair adds to it.
          if (attempt.unseen && rejected !== undefined) return invalidOutput(rejected);
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
          const next = repairsLeft > 0 ? repairOf(generation, verdict, target, prompt) : undefined;
          if (next === undefined) return invalidOutput(verdict);
          rejected = verdict;
          repairsLeft--;
          target = next.target;
          repair = next.repair;
          kind = 'repair';
          journal.attempts.at(-1)!.repair = verdict.fault;
          watcher.reset(verdict.fault, journal.attempts.length + 1);
          prompt = await assemblePrompt(generation, target, repair);
          if (verdict.early) await pause(generation, FREE_AFTER_MS);
        }
      }
      continue;
    }
    // It is not the task that the gateway does not take, but what the repair asks for.
    if (rejected !== undefined && !attempt.retryable && attempt.code === 'gateway_error')
      return invalidOutput(rejected);
    failuresLeft--;
    const failure = gateway.max_attempts - failuresLeft;
    const waitMs = Math.max(attempt.retryAfterMs ?? 0, backoffMs(gateway, failure), FREE_AFTER_MS);
    if (!attempt.retryable || failuresLeft <= 0 || waitMs >= deadline.left) {
      return {
        kind: 'failed',
        code: attempt.code,
        detail: attempt.detail,
        ...(attempt.isPaused && { isPaused: true }),
        ...(attempt.retryAfterMs !== undefined && {
          retryAfterSeconds: Math.ceil(attempt.retryAfterMs / 1000),
        }),
      };
    }
    kind = 'retry';
    watcher.reset(attempt.code, journal.attempts.length + 1);
    await pause(generation, waitMs);
  }
}

async function pause({ journal, watcher, deadline }: Generation, ms: number): Promise<void> {
  const pauses = beginStage('wait', journal, watcher);
  await deadline.sleep(ms);
  pauses.end();
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
    template: journal.template,
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
  return { kind: 'failed', code: 'output_invalid', detail, errors: [...violations] };
}

/** How to ask again, or undefined where asking again cannot help. */
function repairOf(
  { resolved, parts }: Generation,
  verdict: Invalid,
  target: ModelTarget,
  prompt: Assembled & { kind: 'assembled' },
): { readonly target: ModelTarget; readonly repair: RepairRequest | undefined } | undefined {
  switch (verdict.fault) {
    case 'cut_off': {
      const ofCaller = resolved.task.max_output_tokens ?? Number.POSITIVE_INFINITY;
      const most = Math.max(
        parts.config.models[target.model]!.max_output_tokens,
        Math.floor(target.contextWindow * 0.6),
      );
      const higher = Math.min(target.maxOutputTokens * 2, most, ofCaller, prompt.outputRoom);
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
