import type { TraceContext } from '../contracts/trace-context.js';
import type { ExecutionWatcher } from './execution-watcher.js';
import type { Journal } from './journal.js';
import type { Stage } from './tracing/tracing.js';

/** A stage under way: its time goes into the outcome, and into the trace where one is taken. */
export interface OpenStage {
  /** Passed on to whoever is asked within it. */
  readonly context: TraceContext | undefined;
  end(): void;
}

export function beginStage(
  stage: Exclude<Stage, 'record'>,
  { timings }: Journal,
  { trace, sender }: ExecutionWatcher,
): OpenStage {
  const startedAt = performance.now();
  const traced = trace?.begin(stage);
  return {
    context: traced?.context ?? sender,
    end: () => {
      timings[stage] += performance.now() - startedAt;
      traced?.end();
    },
  };
}
