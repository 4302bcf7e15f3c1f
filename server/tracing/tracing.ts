import type { Attempt } from '../../contracts/outcome.js';
import type { TraceContext } from '../../contracts/trace-context.js';
import type { Executed } from '../outcome.js';
import type { ResolvedTask } from '../resolution.js';

/** Tells a collector of traces where the time of each task goes. Never throws, and nothing waits for it. */
export interface Tracing {
  /** Begins to tell of a task. `origin` is the context of who sent it. */
  begin(task: ResolvedTask, from: 'http' | 'events', origin: TraceContext | undefined): TaskTrace;
  close(): Promise<void>;
}

/** The stages that are no call of a model. */
export type Stage = 'wait' | 'context' | 'assemble' | 'record';

/** A task that runs. */
export interface TaskTrace extends Traced {
  begin(stage: Stage): StageTrace;
  beginCall(call: TracedCall): CallTrace;
  /** Without what was executed where that did not become an outcome. */
  end(executed: Executed | undefined): void;
}

export interface StageTrace extends Traced {
  end(): void;
}

/** A call of a model: its first token, its stream, and what was made of it afterwards. */
export interface CallTrace extends Traced {
  /** Both are of `performance.now()`; undefined for what did not happen. */
  end(attempt: Attempt, firstTokenAt: number | undefined, lastByteAt: number | undefined): void;
}

export interface TracedCall {
  readonly tier: string;
  readonly endpoint: string;
  readonly model: string;
  readonly maxOutputTokens: number;
}

interface Traced {
  /** Passed on to whoever is asked within it. */
  readonly context: TraceContext;
}
