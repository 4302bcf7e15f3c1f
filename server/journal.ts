import type { Attempt, ContextStatus, Note, Timings } from '../contracts/outcome.js';
import type { FittedContext } from '../contracts/threads.js';

/** What is collected on the way, for outcome and receipt. */
export interface Journal {
  readonly attempts: Attempt[];
  readonly notes: Note[];
  contextStatus: ContextStatus;
  contextDetail: string | undefined;
  context: FittedContext;
  readonly timings: Record<keyof Timings, number>;
}

export function openJournal(): Journal {
  return {
    attempts: [],
    notes: [],
    contextStatus: 'none',
    contextDetail: undefined,
    context: { tokens: 0, used: [], dropped: [] },
    timings: { wait: 0, context: 0, assemble: 0, first_token: 0, stream: 0, validate: 0, other: 0 },
  };
}
