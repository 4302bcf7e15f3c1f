import type { Attempt, ContextStatus, Note, Timings } from '../contracts/outcome.js';
import type { FittedContext, Template } from '../contracts/threads.js';

/** What is collected on the way, for outcome and receipt. */
export interface Journal {
  /** One for the whole execution: it may change on disk meanwhile, and the receipt names what was used. */
  readonly template: Template;
  readonly attempts: Attempt[];
  readonly notes: Note[];
  contextStatus: ContextStatus;
  contextDetail: string | undefined;
  context: FittedContext;
  readonly timings: Record<keyof Timings, number>;
}

export function openJournal(template: Template): Journal {
  return {
    template,
    attempts: [],
    notes: [],
    contextStatus: 'none',
    contextDetail: undefined,
    context: { tokens: 0, used: [], dropped: [] },
    timings: { wait: 0, context: 0, assemble: 0, first_token: 0, stream: 0, validate: 0, other: 0 },
  };
}
