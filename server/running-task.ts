import type { Failed } from '../contracts/outcome.js';
import { type TraceContext, traceContextOf } from '../contracts/trace-context.js';
import { Deadline, Interruption } from './deadline.js';
import type { ExecutionWatcher, ResetReason } from './execution-watcher.js';
import type { ResolvedTask } from './resolution.js';
import type { CompletedHead, TaskOrigin } from './store/store.js';
import type { TaskTrace } from './tracing/tracing.js';

/** An outcome that is durable, or that nobody may rely on after this answer (a failure the store did not take). */
export interface TaskOutcome {
  readonly outcome: CompletedHead | Failed;
  readonly output: Uint8Array | undefined;
  /** Whether it stands for good, and is durable. */
  readonly final: boolean;
}

/** How a task came in. */
export interface Entry {
  readonly from: 'http' | 'events';
  /** A failure of this execution is final, even when its code is retryable. */
  readonly lastAttempt?: boolean;
  /** When the sender no longer wants the task, in milliseconds since the epoch. */
  readonly expiresAt?: number;
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

/** The life of a task, counted from 0: a new one begins when an operator replays it from the dead letters. */
export function replayOf({ origin }: { readonly origin?: TaskOrigin | undefined }): number {
  return origin?.replay ?? 0;
}

/** A task that runs in this process, with all who wait for it. */
export class RunningTask implements ExecutionWatcher {
  readonly resolved: ResolvedTask;
  readonly deadline: Deadline;
  readonly events: TaskEvent[] = [];
  ended!: Promise<TaskOutcome>;
  /** Resolves when it has ended, however. */
  over!: Promise<void>;
  /** Resolves when the rules of idempotency let it be executed here; never, when it ends without. */
  readonly #opened: Promise<void>;
  /** See Caller. */
  readonly known: Promise<void>;
  /** See Entry. */
  lastAttempt = false;
  readonly givenUp: string | undefined;
  /** Somebody waits who can wait as long as it takes: the broker holds his message. */
  patient = false;
  from: 'http' | 'events' = 'events';
  /** Undefined until it is executed, and when no traces are taken. */
  trace: TaskTrace | undefined;
  origin: TaskOrigin | undefined;
  readonly #callers = new Set<JoinedCaller>();
  #isOpen = false;
  #isExecuted = false;
  #resolveOpened!: () => void;
  #resolveKnown!: () => void;
  #cancelReason: string | undefined;
  #shown = false;
  #caughtUp: (() => void) | undefined;
  #caughtUpPromise: Promise<void> | undefined;

  constructor(resolved: ResolvedTask, timeoutMs: number, givenUp: string | undefined) {
    this.resolved = resolved;
    this.givenUp = givenUp;
    this.deadline = new Deadline(timeoutMs);
    this.#opened = new Promise((resolve) => {
      this.#resolveOpened = resolve;
    });
    this.known = new Promise((resolve) => {
      this.#resolveKnown = resolve;
    });
  }

  /** Whether it is this process that executes it; until then, another body may turn out to be the right one. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Resolves when it is certain whether it is executed here. */
  decided(): Promise<void> {
    return Promise.race([this.#opened, this.over]);
  }

  /** Nothing stands against its execution here. */
  open(): void {
    this.takenOver();
    this.#isOpen = true;
    this.#resolveOpened();
    this.#resolveKnown();
    if (this.#cancelReason !== undefined) this.cancel(this.#cancelReason);
  }

  /** Another process executes it. */
  executedElsewhere(): void {
    this.#resolveKnown();
  }

  /** What was seen of its execution elsewhere is void: that one is over, and another begins. */
  takenOver(): void {
    this.reset('takeover', 1);
  }

  /** Shows what another process has shown of its execution. */
  relay(events: readonly TaskEvent[]): void {
    for (const event of events) this.#push(event);
    this.#tell();
  }

  /** What it came to can no longer be changed, and it is not over yet: a failure may still be tried again. */
  executed(): void {
    this.#isExecuted = true;
  }

  /**
   * Cancels its execution for good: now, or once it begins. True when that is why it ends; else it may have an end
   * already, be stopped for another reason, after which it may be tried again, or be executed by another process, and
   * whoever waits here waits for that.
   */
  cancel(reason: string): boolean {
    if (!this.#isOpen) {
      this.#cancelReason = reason;
      return false;
    }
    if (this.#isExecuted) return false;
    this.deadline.cancel(cancellation(reason));
    return this.deadline.interruption?.final === true;
  }

  get requestHash(): string {
    return this.resolved.requestHash;
  }

  get abandoned(): boolean {
    const { interruption } = this.deadline;
    return interruption?.code === 'cancelled' && !interruption.final;
  }

  get sender(): TraceContext | undefined {
    const { traceparent, tracestate } = this.origin ?? {};
    return traceparent === undefined ? undefined : traceContextOf(traceparent, tracestate ?? '');
  }

  get live(): boolean {
    for (const caller of this.#callers) if (caller.onEvents !== undefined) return true;
    return false;
  }

  settle(ended: Promise<TaskOutcome>): void {
    this.ended = ended;
    // Each caller hears of a rejection through his own promise.
    this.over = ended.then(
      () => {},
      () => {},
    );
  }

  join({ from, lastAttempt, origin }: Entry): Caller {
    this.lastAttempt ||= lastAttempt ?? false;
    this.patient ||= from === 'events';
    if (from === 'http') this.from = 'http';
    this.origin ??= origin;
    const caller = new JoinedCaller(this);
    this.#callers.add(caller);
    return caller;
  }

  /** It was replayed before, and goes on with that life, whoever sends it now. */
  resume(replay: number): void {
    if (replay > replayOf(this)) this.origin = { ...this.origin, replay };
  }

  left(caller: JoinedCaller): void {
    this.#callers.delete(caller);
    if (this.#callers.size === 0)
      this.deadline.cancel(new Interruption('cancelled', 'every caller went away'));
    this.paceChanged();
  }

  /** A caller fell behind or caught up. */
  paceChanged(): void {
    if (this.#caughtUp !== undefined && !this.#allBehind()) {
      this.#caughtUp();
      this.#caughtUp = undefined;
      this.#caughtUpPromise = undefined;
    }
  }

  started(tier: string, model: string): void {
    this.#emit({ event: 'started', data: { task_id: this.resolved.task.task_id, tier, model } });
  }

  delta(text: string, tokens: number): void {
    // Split, so that one event is never so large that writing it holds up the event loop.
    for (let at = 0; at < text.length; ) {
      let to = at + DELTA_CHARACTERS;
      if (to < text.length && (text.charCodeAt(to - 1) & 0xfc00) === 0xd800) to--;
      this.#push({ event: 'delta', data: { text: text.slice(at, to) } });
      at = to;
    }
    if (text !== '') this.#emit({ event: 'usage', data: { completion_tokens: tokens } });
  }

  reset(reason: ResetReason, attempt: number): void {
    if (this.#shown) this.#emit({ event: 'reset', data: { reason, attempt } });
  }

  ready(): Promise<void> | undefined {
    if (!this.#allBehind()) return undefined;
    this.#caughtUpPromise ??= new Promise((resolve) => {
      this.#caughtUp = resolve;
    });
    return this.#caughtUpPromise;
  }

  /** The fastest caller sets the pace: one who only waits for the end is never behind. */
  #allBehind(): boolean {
    if (this.#callers.size === 0) return false;
    for (const caller of this.#callers) if (!caller.behind) return false;
    return true;
  }

  #emit(event: TaskEvent): void {
    this.#push(event);
    this.#tell();
  }

  #push(event: TaskEvent): void {
    if (event.event === 'delta') this.#shown = true;
    if (event.event === 'reset') this.#shown = false;
    this.events.push(event);
  }

  #tell(): void {
    for (const caller of this.#callers) caller.onEvents?.();
  }
}

const DELTA_CHARACTERS = 32_768;

class JoinedCaller implements Caller {
  onEvents: (() => void) | undefined;
  behind = false;
  readonly #task: RunningTask;

  constructor(task: RunningTask) {
    this.#task = task;
  }

  get ended(): Promise<TaskOutcome> {
    return this.#task.ended;
  }

  get known(): Promise<void> {
    return this.#task.known;
  }

  get events(): readonly TaskEvent[] {
    return this.#task.events;
  }

  setBehind(behind: boolean): void {
    this.behind = behind;
    this.#task.paceChanged();
  }

  leave(): void {
    this.#task.left(this);
  }
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

export function cancellation(reason: string): Interruption {
  return new Interruption(
    'cancelled',
    reason === '' ? 'the task was cancelled' : `the task was cancelled: ${reason}`,
    true,
  );
}
