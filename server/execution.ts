import type { Config } from '../config/schema.js';
import type { TaskFailureCode } from '../contracts/failures.js';
import { failures } from '../contracts/failures.js';
import type { Attempt, ContextStatus, Failed, Note, Receipt, Timings } from '../contracts/outcome.js';
import type { FittedContext } from '../contracts/threads.js';
import type { TraceContext } from '../contracts/trace-context.js';
import type { Pools } from '../pool/pools.js';
import type { Deadline, Interruption } from './deadline.js';
import type { Gateway } from './gateway/gateway.js';
import { type Generated, type Generation, generate } from './generation.js';
import type { Rag } from './rag.js';
import type { ResolvedTask } from './resolution.js';
import { type Retrieved, retrieveContext } from './retrieval.js';
import type { Slots } from './slots.js';
import { beginStage } from './stages.js';
import type { CompletedHead } from './store/store.js';
import type { Templates } from './templates.js';
import type { TaskTrace } from './tracing/tracing.js';

/** What an execution needs of the service. */
export interface ExecutionParts {
  readonly config: Config;
  readonly pools: Pools;
  readonly slots: Slots;
  readonly rag: Rag;
  readonly gateway: Gateway;
  readonly templates: Templates;
  /** Sees prompts and outputs; undefined unless the configuration says that they are logged. */
  readonly onPrompt: ((taskId: string, prompt: Uint8Array) => void) | undefined;
  /** True when a simulator stands in for the model gateway. */
  readonly simulated: boolean;
}

/** Sees an execution go on; both edges translate it to their callers. */
export interface ExecutionWatcher {
  /** True when somebody looks at the deltas. */
  readonly live: boolean;
  /** Who waits: a task that came both ways counts as one of HTTP. */
  readonly from: 'http' | 'events';
  started(tier: string, model: string): void;
  delta(text: string, tokens: number): void;
  /** What was shown so far is void: a new attempt begins. */
  reset(reason: string, attempt: number): void;
  ready(): Promise<void> | undefined;
  /** Of who sent the task; passed on to whoever is asked for something where no trace is taken here. */
  readonly sender: TraceContext | undefined;
  /** Undefined when no traces are taken. */
  readonly trace: TaskTrace | undefined;
}

/** An execution that has come to its end; nothing of it is durable yet. */
export interface Executed {
  readonly outcome: CompletedHead | Failed;
  /** JSON in UTF-8; present when completed. */
  readonly output: Uint8Array | undefined;
  readonly receipt: Receipt;
}

/** What is collected on the way, for outcome and receipt. */
export interface Journal {
  readonly attempts: Attempt[];
  readonly notes: Note[];
  contextStatus: ContextStatus;
  contextDetail: string | undefined;
  context: FittedContext;
  readonly timings: Record<keyof Timings, number>;
}

/**
 * Runs one task through every stage. Knows neither HTTP nor AMQP, and never throws for what may be expected:
 * a failure is an outcome.
 */
export async function execute(
  parts: ExecutionParts,
  resolved: ResolvedTask,
  deadline: Deadline,
  watcher: ExecutionWatcher,
): Promise<Executed> {
  const acceptedAt = new Date();
  const startedAt = performance.now();
  const journal: Journal = {
    attempts: [],
    notes: [],
    contextStatus: 'none',
    contextDetail: undefined,
    context: { tokens: 0, used: [], dropped: [] },
    timings: { wait: 0, context: 0, assemble: 0, first_token: 0, stream: 0, validate: 0, other: 0 },
  };
  let tier = resolved.tier;
  let entry: Generation['entry'] = 'first';
  let retrieved: Retrieved | undefined;
  let generated: Generated;
  const tried = new Set<string>();
  let fallbacks = parts.config.tier_models[tier]!.fallback;
  for (;;) {
    tried.add(tier);
    const hasFallback = fallbacks.some((other) => !tried.has(other));
    const waits = beginStage('wait', journal, watcher);
    const slot = await parts.slots.acquire(tier, deadline, watcher.from);
    waits.end();
    if (slot === undefined) {
      generated = interrupted(deadline.interruption!);
      break;
    }
    if ('retryAfterSeconds' in slot) {
      const detail = `all slots of tier ${tier} are taken and its queue is full`;
      generated = {
        kind: 'failed',
        code: 'tier_saturated',
        detail,
        retryAfterSeconds: slot.retryAfterSeconds,
      };
      break;
    }
    try {
      if (retrieved === undefined) {
        const retrieves = beginStage('context', journal, watcher);
        retrieved = await retrieveContext(parts, resolved, tier, deadline, retrieves.context);
        retrieves.end();
      }
      journal.contextStatus = retrieved.status;
      journal.contextDetail = retrieved.detail;
      generated = await generate({
        parts,
        resolved,
        tier,
        retrieved,
        deadline,
        watcher,
        journal,
        entry,
        hasFallback,
      });
    } catch (error) {
      generated = { kind: 'failed', code: 'internal_error', detail: (error as Error).message };
    } finally {
      slot.release();
    }
    if (generated.kind === 'escalate') {
      tier = generated.tier;
      entry = 'escalation';
      fallbacks = parts.config.tier_models[tier]!.fallback;
      continue;
    }
    const next = generated.kind === 'failed' && generated.code === 'gateway_unavailable';
    const other = next ? fallbacks.find((name) => !tried.has(name)) : undefined;
    if (other === undefined) break;
    tier = other;
    entry = 'fallback';
  }
  return conclude({ parts, resolved, tier, journal, acceptedAt, startedAt }, generated);
}

export function interrupted(interruption: Interruption): Generated {
  return { kind: 'failed', code: interruption.code, detail: interruption.message, final: interruption.final };
}

interface Course {
  readonly parts: ExecutionParts;
  readonly resolved: ResolvedTask;
  readonly tier: string;
  readonly journal: Journal;
  readonly acceptedAt: Date;
  readonly startedAt: number;
}

function conclude(course: Course, generated: Generated): Executed {
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
    attempts: journal.attempts.length,
    context: journal.contextStatus,
    context_tokens: journal.context.tokens,
    sources: [...journal.context.used],
    ...(last !== undefined && { model: last.model, tokens: last.tokens }),
    ...(parts.simulated && { simulated: true }),
  };
  const outcome = outcomeOf(common, resolved, journal, generated);
  const receipt: Receipt = {
    task_id: task.task_id,
    request_hash: resolved.requestHash,
    accepted_at: acceptedAt.toISOString(),
    finished_at: new Date().toISOString(),
    template: { name: parts.templates.of(task.domain).name, sha256: parts.templates.of(task.domain).sha256 },
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
  return { outcome, output: generated.kind === 'completed' ? generated.output : undefined, receipt };
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

function outcomeOf(
  common: Omit<CompletedHead, 'artifact_id' | 'status'>,
  resolved: ResolvedTask,
  journal: Journal,
  generated: Generated,
): CompletedHead | Failed {
  switch (generated.kind) {
    case 'completed':
      return {
        ...common,
        artifact_id: resolved.artifactId,
        status: 'completed',
        ...(generated.finishReason !== undefined && { finish_reason: generated.finishReason }),
        ...(journal.notes.length > 0 && { notes: journal.notes }),
      };
    case 'failed':
      return {
        ...common,
        status: 'failed',
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
      };
    case 'escalate':
      throw new Error('an escalation is not an end');
  }
}

/** A task that was only abandoned by its caller may come again, one that was cancelled may not. */
function isRetryable(code: TaskFailureCode, final: boolean | undefined): boolean {
  return code === 'cancelled' ? final === false : failures[code].retryable;
}
