import { type TraceContext, traceContextOf } from '../contracts/trace-context.js';
import type { Caller, Entry, Retries, TaskEvent, TaskOutcome } from './caller.js';
import { Deadline, Interruption } from './deadline.js';
import type { ExecutionWatcher, ResetReason } from './execution-watcher.js';
import type { ResolvedTask } from './resolution.js';
import { replayOf } from './store/lives.js';
import type { TaskOrigin } from './store/store.js';
import type { TaskTrace } from './tracing/tracing.js';

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
  /** Of the message that has come farthest; see Entry. */
  retries: Retries | undefined;
  /** It waits as another message of it does: who comes now is not answered with the failure that it waits after. */
  waits = false;
  /** Attempts that the queue has made at it before. */
  #tried = 0;
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

  /** Resolves to true when it is certain that it is executed, here or elsewhere; to false when it has ended without. */
  isExecutedSomewhere(): Promise<boolean> {
    return Promise.race([this.known.then(() => true), this.over.then(() => false)]);
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

  join({ from, lastAttempt, retries, origin }: Entry): Caller {
    this.lastAttempt ||= lastAttempt ?? false;
    if (retries !== undefined && retries.attempt > (this.retries?.attempt ?? 0)) this.retries = retries;
    this.patient ||= from === 'events';
    if (from === 'http') this.from = 'http';
    this.origin ??= origin;
    // An HTTP caller has none, and the sender of an event that joins him looks for his.
    if (this.origin?.correlationId === undefined && origin?.correlationId !== undefined)
      this.origin = { ...this.origin, correlationId: origin.correlationId };
    const caller = new JoinedCaller(this);
    this.#callers.add(caller);
    return caller;
  }

  /** It was replayed before, and goes on with that life, whoever sends it now. */
  resume(replay: number): void {
    if (replay > replayOf(this)) this.origin = { ...this.origin, replay };
  }

  /** Messages of the task have made so many attempts at it. */
  triedBefore(attempts: number): void {
    this.#tried = attempts;
  }

  /** Attempts of the queue, with this one where it is one. */
  attemptsWith(isAttempt: boolean): number {
    const { retries } = this;
    return isAttempt && retries !== undefined ? Math.max(retries.attempt, this.#tried + 1) : this.#tried;
  }

  /** A failure of this execution is final, even when its code is retryable. */
  get isLastAttempt(): boolean {
    return this.lastAttempt || (this.retries !== undefined && this.attemptsWith(true) >= this.retries.most);
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

export function cancellation(reason: string): Interruption {
  return new Interruption(
    'cancelled',
    reason === '' ? 'the task was cancelled' : `the task was cancelled: ${reason}`,
    true,
  );
}
