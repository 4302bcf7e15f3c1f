import type { Verdict } from '../contracts/threads.js';
import type { TraceContext } from '../contracts/trace-context.js';
import type { TaskTrace } from './tracing/tracing.js';

/**
 * Why what was shown is void: how the call failed, what is wrong with its output, that it turned out to have been the
 * model's thoughts, or that another tier or another process takes over.
 */
export type ResetReason =
  | 'gateway_error'
  | 'gateway_unavailable'
  | (Verdict & { kind: 'invalid' })['fault']
  | 'reasoning'
  | 'escalation'
  | 'fallback'
  | 'takeover';

/** Sees an execution go on; both edges translate it to their callers. */
export interface ExecutionWatcher {
  /** True when somebody looks at the deltas. */
  readonly live: boolean;
  /** Who waits: a task that came both ways counts as one of HTTP. */
  readonly from: 'http' | 'events';
  started(tier: string, model: string): void;
  delta(text: string, tokens: number): void;
  /** What was shown so far is void: a new attempt begins, or (`reasoning`) this one goes on. */
  reset(reason: ResetReason, attempt: number): void;
  ready(): Promise<void> | undefined;
  /** Of who sent the task; passed on to whoever is asked for something where no trace is taken here. */
  readonly sender: TraceContext | undefined;
  /** Undefined when no traces are taken. */
  readonly trace: TaskTrace | undefined;
}
