import type { Failed } from '../contracts/outcome.js';
import type { ResetReason } from './execution-watcher.js';
import type { CompletedHead, TaskOrigin, TaskRecord } from './store/store.js';

/** An outcome that is durable, or that nobody may rely on after this answer (a failure the store did not take). */
export interface TaskOutcome {
  readonly outcome: CompletedHead | Failed;
  readonly output: Uint8Array | undefined;
  /** Whether it stands for good, and is durable. */
  readonly final: boolean;
  /** What it took to make it durable, in milliseconds; undefined for one that was before, or by another process. */
  readonly recordMs?: number;
  /** See TaskOrigin. */
  readonly attempts?: number;
  /** See Executed; only of what this process has executed. */
  readonly wasPaused?: boolean;
}

/** What is recorded of a task, as it is told. */
export function recorded(
  { outcome, final, origin }: TaskRecord,
  output: Uint8Array | undefined,
): TaskOutcome {
  const attempts = origin?.attempts;
  return { outcome, output, final, ...(attempts !== undefined && { attempts }) };
}

/** The attempts at a task from the queue. */
export interface Retries {
  /** The one that a message of it has come to, from 1 on. */
  readonly attempt: number;
  /** A failure of this one is final. */
  readonly most: number;
  /** Whether the attempt after a failure is not due yet. */
  readonly wait: (failure: TaskRecord) => boolean;
}

/** How a task came in. */
export interface Entry {
  readonly from: 'http' | 'events';
  /** A failure of this execution is final, even when its code is retryable. */
  readonly lastAttempt?: boolean;
  /** When the sender no longer wants the task, in milliseconds since the epoch. */
  readonly expiresAt?: number;
  /** Undefined for HTTP callers, who try again by themselves. */
  readonly retries?: Retries;
  readonly origin?: TaskOrigin | undefined;
  /** Not to be executed any more, and why: it fails, unless it runs or has ended. */
  readonly givenUp?: string;
}

/** What happens while a task runs, for callers that look on. */
export type TaskEvent =
  | { readonly event: 'started'; readonly data: { task_id: string; tier: string; model: string } }
  | { readonly event: 'delta'; readonly data: { text: string } }
  | { readonly event: 'usage'; readonly data: { completion_tokens: number } }
  | { readonly event: 'reset'; readonly data: { reason: ResetReason; attempt: number } };

/** Somebody who waits for a task. One who reads its events takes them from `events`, at his own pace. */
export interface Caller {
  readonly ended: Promise<TaskOutcome>;
  /** Resolves when it is known to be this task that is executed, here or elsewhere; never, when it ends before. */
  readonly known: Promise<void>;
  /** The events from the very beginning; it grows until the task has ended. */
  readonly events: readonly TaskEvent[];
  /** Called when there are new events; for readers only. */
  onEvents: (() => void) | undefined;
  /** A reader that is behind; the model stream waits when all callers are. */
  setBehind(behind: boolean): void;
  /** The caller goes away. With the last one the task is cancelled. */
  leave(): void;
}

/** Somebody who came while it was open whether his body or another one is that of the task. */
export class PostponedCaller implements Caller {
  readonly ended: Promise<TaskOutcome>;
  readonly known: Promise<void>;
  #caller: Caller | undefined;
  #onEvents: (() => void) | undefined;
  #behind = false;
  #left = false;

  /** @param submit joins the task, unless the caller has left by then; rejects when it is another one. */
  constructor(submit: (hasLeft: () => boolean) => Promise<Caller>) {
    const joined = submit(() => this.#left).then((caller) => {
      this.#caller = caller;
      caller.onEvents = this.#onEvents;
      if (this.#behind) caller.setBehind(true);
      if (this.#left) caller.leave();
      return caller;
    });
    this.ended = joined.then(({ ended }) => ended);
    this.known = joined.then(({ known }) => known);
    for (const promise of [this.ended, this.known]) promise.catch(() => {});
  }

  get events(): readonly TaskEvent[] {
    return this.#caller?.events ?? [];
  }

  get onEvents() {
    return this.#onEvents;
  }

  set onEvents(listener: (() => void) | undefined) {
    this.#onEvents = listener;
    if (this.#caller !== undefined) this.#caller.onEvents = listener;
  }

  setBehind(behind: boolean): void {
    this.#behind = behind;
    this.#caller?.setBehind(behind);
  }

  leave(): void {
    this.#left = true;
    this.#caller?.leave();
  }
}
