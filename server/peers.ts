import type { Caller, TaskEvent } from './caller.js';

/** The other processes of a node: one of them may execute what this one was asked for. */
export interface Peers {
  /** Joins the execution of a task in another process, and keeps it alive, until it leaves or that one has ended. */
  follow(taskId: string, show: (events: readonly TaskEvent[]) => void): Following;
  /** Set by who knows what is executed here; resolves to undefined when the task is not. */
  onFollow: ((taskId: string) => Promise<Caller | undefined>) | undefined;
}

/** An execution in another process, seen from here. */
export interface Following {
  /** Whether it was joined and has ended since, or its process has, or whether it is time to look for one again. */
  readonly isOver: boolean;
  /** Resolves when one that was joined is over; never, when no process of the node executes the task. */
  readonly over: Promise<void>;
  /** Shows the events of the execution, from the first one. Idempotent. */
  watch(): void;
  /** Resolves when no more events will come, which is at once when none was joined. */
  shown(): Promise<void>;
  leave(): void;
}
