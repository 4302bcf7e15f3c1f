import {
  failures,
  type Recommendation,
  type RefusalReason,
  type TaskFailureCode,
} from '../contracts/failures.js';
import { type Failed, type Note, outcomeFields, type Receipt, type Timings } from '../contracts/outcome.js';
import type { Violation } from '../contracts/validator.js';
import type { Interruption } from './deadline.js';
import type { ExecutionParts } from './execution-parts.js';
import type { Journal } from './journal.js';
import { isSimulated, type ResolvedTask } from './resolution.js';
import type { CompletedHead } from './store/store.js';

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
      /** The endpoint had asked for a pause. */
      readonly isPaused?: boolean;
    };

/** An execution that has come to its end; nothing of it is durable yet. */
export interface Executed {
  readonly outcome: CompletedHead | Failed;
  /** JSON in UTF-8; present when completed. */
  readonly output: Uint8Array | undefined;
  readonly receipt: Receipt;
  /** No endpoint was called, because the one of the task had asked for a pause: that was no attempt at it. */
  readonly wasPaused?: boolean;
}

export function interrupted(interruption: Interruption): Generated {
  return { kind: 'failed', code: interruption.code, detail: interruption.message, final: interruption.final };
}

/** An execution at its end. */
export interface Course {
  readonly parts: ExecutionParts;
  readonly resolved: ResolvedTask;
  readonly tier: string;
  readonly journal: Journal;
  readonly acceptedAt: Date;
  readonly startedAt: number;
}

/** Makes outcome and receipt of what was written down on the way and its end. */
export function conclude(course: Course, generated: Generated): Executed {
  const { parts, resolved, tier, journal, acceptedAt, startedAt } = course;
  const { task } = resolved;
  const tokensUsed = journal.attempts.reduce((sum, { tokens }) => sum + tokens.prompt + tokens.completion, 0);
  const last = journal.attempts.at(-1);
  const totalMs = performance.now() - startedAt;
  const common = {
    task_id: task.task_id,
    tokens_used: tokensUsed,
    execution_time_ms: rounded(totalMs),
    ...timesOf(journal.timings, totalMs),
    domain: task.domain,
    tier,
    attempts: journal.attempts.filter(({ ended }) => ended !== 'not_called').length,
    context: journal.contextStatus,
    context_tokens: journal.context.tokens,
    sources: [...journal.context.used],
    ...(last !== undefined && { model: last.model, tokens: last.tokens }),
    ...(isSimulated(parts.config, tier) && { simulated: true }),
  };
  if (journal.context.isCut) journal.notes.push(contextCut(journal.context.tokens));
  const outcome = outcomeOf(common, resolved, journal, generated);
  const receipt: Receipt = {
    task_id: task.task_id,
    request_hash: resolved.requestHash,
    accepted_at: acceptedAt.toISOString(),
    finished_at: new Date().toISOString(),
    template: { name: journal.template.name, sha256: journal.template.sha256 },
    context: {
      status: journal.contextStatus,
      tokens: journal.context.tokens,
      sources_used: [...journal.context.used],
      sources_dropped: [...journal.context.dropped],
      ...(journal.contextDetail !== undefined && { detail: journal.contextDetail }),
    },
    attempts: journal.attempts,
    tokens_used: tokensUsed,
    notes: journal.notes,
    outcome:
      outcome.status === 'completed' ? { status: 'completed' } : { status: 'failed', code: outcome.code },
  };
  const output = generated.kind === 'completed' ? generated.output : undefined;
  return isPaused(generated, journal)
    ? { outcome, output, receipt, wasPaused: true }
    : { outcome, output, receipt };
}

function isPaused(generated: Generated, { attempts }: Journal): boolean {
  if (generated.kind !== 'failed' || generated.isPaused !== true) return false;
  return attempts.every(({ ended }) => ended === 'not_called');
}

function contextCut(tokens: number): Note {
  const message = `not all of the context of the task fits into the window of the model: ${tokens} tokens of context were used`;
  return { code: 'context_cut', message };
}

/** What no stage has taken is `other`, so that the parts add up. */
function timesOf(timings: Journal['timings'], totalMs: number): { timings: Timings; overhead_ms: number } {
  const { wait, context, assemble, first_token, stream, validate } = timings;
  const known = { wait, context, assemble, first_token, stream, validate };
  const other = Math.max(0, totalMs - Object.values(known).reduce((sum, ms) => sum + ms, 0));
  return {
    timings: {
      wait: rounded(wait),
      context: rounded(context),
      assemble: rounded(assemble),
      first_token: rounded(first_token),
      stream: rounded(stream),
      validate: rounded(validate),
      other: rounded(other),
    },
    overhead_ms: rounded(assemble + validate + other),
  };
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

/** `common` becomes the outcome: to spread it into another object costs more (decision 0020). */
function outcomeOf(
  common: Omit<CompletedHead, 'artifact_id' | 'status'>,
  resolved: ResolvedTask,
  journal: Journal,
  generated: Generated,
): CompletedHead | Failed {
  switch (generated.kind) {
    case 'completed':
      return Object.assign(common, {
        artifact_id: resolved.artifactId,
        status: 'completed' as const,
        ...(generated.finishReason !== undefined && { finish_reason: generated.finishReason }),
        ...(journal.notes.length > 0 && { notes: journal.notes }),
      });
    case 'failed':
      return Object.assign(common, {
        status: 'failed' as const,
        code: generated.code,
        detail: generated.detail,
        retryable: isRetryable(generated.code, generated.final),
        ...(generated.reason !== undefined && { reason: generated.reason }),
        ...(generated.recommendation !== undefined && { recommendation: generated.recommendation }),
        ...(generated.questions !== undefined && { questions: [...generated.questions] }),
        ...(generated.errors !== undefined && { errors: [...generated.errors] }),
        ...(generated.retryAfterSeconds !== undefined && {
          retry_after_seconds: generated.retryAfterSeconds,
        }),
      });
    case 'escalate':
      throw new Error('an escalation is not an end');
  }
}

/** A task that was only abandoned by its caller may come again, one that was cancelled may not. */
export function isRetryable(code: TaskFailureCode, final: boolean | undefined): boolean {
  return code === 'cancelled' ? final === false : failures[code].retryable;
}

/** The end of an execution whose own end nobody wants any more, because the task was cancelled. */
export function cancelledAfter({ outcome, receipt }: Executed, { message }: Interruption): Executed {
  const common = Object.entries(outcome).filter(([name]) => Object.hasOwn(outcomeFields, name));
  const failed = { status: 'failed', code: 'cancelled', detail: message, retryable: false } as const;
  return {
    outcome: { ...(Object.fromEntries(common) as Omit<Failed, keyof typeof failed>), ...failed },
    output: undefined,
    receipt: { ...receipt, outcome: { status: 'failed', code: 'cancelled' } },
  };
}

/** The end of what never was executed, or not to any end. */
export function unexecuted(
  taskId: string,
  requestHash: string,
  code: Failed['code'],
  detail: string,
): Executed & { outcome: Failed } {
  const at = new Date().toISOString();
  return {
    outcome: { task_id: taskId, status: 'failed', code, detail, retryable: false, tokens_used: 0 },
    output: undefined,
    receipt: {
      task_id: taskId,
      request_hash: requestHash,
      accepted_at: at,
      finished_at: at,
      context: { status: 'none', tokens: 0, sources_used: [], sources_dropped: [] },
      attempts: [],
      tokens_used: 0,
      notes: [],
      outcome: { status: 'failed', code },
    },
  };
}
