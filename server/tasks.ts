import { hash } from 'node:crypto';
import type { Failed, Receipt } from '../contracts/outcome.js';
import { type TraceContext, traceContextOf, traceIdOf } from '../contracts/trace-context.js';
import { Deadline, Interruption } from './deadline.js';
import { type Executed, type ExecutionParts, type ExecutionWatcher, execute } from './execution.js';
import type { Leases } from './leases.js';
import type { Log } from './log.js';
import type { Metrics } from './metrics.js';
import type { RecentTasks } from './recent-tasks.js';
import type { ResolvedTask } from './resolution.js';
import {
  type ArtifactStore,
  type CompletedHead,
  StoreUnavailable,
  type TaskOrigin,
  type TaskRecord,
} from './store/store.js';
import type { TaskTrace, Tracing } from './tracing/tracing.js';

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

/** A message that names a task_id and is not a task. */
export interface Rejection {
  readonly taskId: string;
  readonly domain: string;
  readonly content: Uint8Array;
  readonly code: Failed['code'];
  readonly detail: string;
  readonly origin: TaskOrigin | undefined;
}

/** What happens while a task runs, for callers that look on. */
export type TaskEvent =
  | { readonly event: 'started'; readonly data: { task_id: string; tier: string; model: string } }
  | { readonly event: 'delta'; readonly data: { text: string } }
  | { readonly event: 'usage'; readonly data: { completion_tokens: number } }
  | { readonly event: 'reset'; readonly data: { reason: string; attempt: number } };

/** Somebody who waits for a task. One who reads its events takes them from `events`, at his own pace. */
export interface Caller {
  readonly ended: Promise<TaskOutcome>;
  /** The events from the very beginning; it grows until the task has ended. */
  readonly events: readonly TaskEvent[];
  /** Called when there are new events; for readers only. */
  onEvents: (() => void) | undefined;
  /** A reader that is behind; the model stream waits when all callers are. */
  setBehind(behind: boolean): void;
  /** The caller goes away. With the last one the task is cancelled. */
  leave(): void;
}

export type Submission = Caller | { readonly conflict: true };

export interface TasksParts {
  readonly parts: ExecutionParts;
  readonly store: ArtifactStore;
  readonly leases: Leases;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'ended'>;
  readonly recent: Pick<RecentTasks, 'add'>;
  /** Undefined when no traces are taken. */
  readonly tracing: Tracing | undefined;
}

/** Every task that runs in this process, and the rules of idempotency over it and the store. */
export class Tasks {
  readonly #running = new Map<string, RunningTask>();
  readonly #parts: ExecutionParts;
  readonly #store: ArtifactStore;
  readonly #leases: Leases;
  readonly #log: Log;
  readonly #metrics: TasksParts['metrics'];
  readonly #recent: TasksParts['recent'];
  readonly #tracing: TasksParts['tracing'];
  #stopping = false;
  /** Called with each outcome that is final and durable: its event is to be published. */
  onFinal: ((record: TaskRecord, output: Uint8Array | undefined) => void) | undefined;

  constructor({ parts, store, leases, log, metrics, recent, tracing }: TasksParts) {
    this.#parts = parts;
    this.#store = store;
    this.#leases = leases;
    this.#log = log;
    this.#metrics = metrics;
    this.#recent = recent;
    this.#tracing = tracing;
    leases.onCancelRequested = (taskId) => this.cancel(taskId);
  }

  get running(): number {
    return this.#running.size;
  }

  isRunning(taskId: string): boolean {
    return this.#running.has(taskId);
  }

  /** Runs a task, joins the one that runs, or answers with what is stored. */
  submit(resolved: ResolvedTask, entry: Entry): Submission {
    const taskId = resolved.task.task_id;
    const running = this.#running.get(taskId);
    if (running !== undefined && !running.abandoned && replayOf(entry) <= replayOf(running)) {
      return running.requestHash === resolved.requestHash ? running.join(entry) : { conflict: true };
    }
    const timeoutMs = this.#parts.config.queues[resolved.tier]!.timeout * 1000;
    const leftMs = leftOf(entry);
    const started = new RunningTask(resolved, Math.min(timeoutMs, leftMs), entry.givenUp);
    if (leftMs === 0) started.deadline.cancel(expired);
    this.#running.set(taskId, started);
    const before = running?.ended.then(
      () => {},
      () => {},
    );
    const run = before === undefined ? this.#run(started) : before.then(() => this.#run(started));
    started.settle(
      run.finally(() => {
        if (this.#running.get(taskId) === started) this.#running.delete(taskId);
      }),
    );
    return started.join(entry);
  }

  /** Whether another body runs here under the task_id. */
  conflicts({ task, requestHash }: ResolvedTask): boolean {
    const running = this.#running.get(task.task_id);
    return running !== undefined && running.requestHash !== requestHash;
  }

  /** Resolves when a task has passed the rules of idempotency, or has ended. */
  async opened(taskId: string): Promise<void> {
    await this.#running.get(taskId)?.opened;
  }

  /** Cancels a task for good. False when it does not run here. */
  cancel(taskId: string): boolean {
    const running = this.#running.get(taskId);
    running?.deadline.cancel(cancelled(''));
    return running !== undefined;
  }

  /**
   * Cancels a task for good, wherever it waits or runs: here, in another process of the store, or not yet anywhere.
   * Without effect on a task that has ended for good.
   * @throws StoreUnavailable when the cancellation cannot be noted; nothing was cancelled.
   */
  async cancelWherever(taskId: string, reason: string): Promise<void> {
    if (this.cancel(taskId)) return;
    await this.#store.noteCancelled(taskId, reason);
    await this.#leases.requestCancel(taskId);
    // It may have begun after the first look and before the note.
    this.cancel(taskId);
  }

  /**
   * Ends a task that never became one. False when the task_id belongs to another task, which goes on as it is.
   * @throws StoreUnavailable
   */
  async reject({ taskId, domain, content, code, detail, origin }: Rejection): Promise<boolean> {
    const requestHash = `${REJECTED}${hash('sha256', content, 'base64url')}`;
    if (this.#running.has(taskId) || (await this.#leases.isHeld(taskId))) return false;
    const stored = await this.#store.find(taskId);
    if (stored?.final) return stored.requestHash === requestHash;
    const { outcome, receipt } = unexecuted(taskId, requestHash, code, detail);
    const record: TaskRecord = {
      taskId,
      requestHash,
      final: true,
      domain,
      finishedAt: Date.now(),
      outcome,
      ...(origin !== undefined && { origin }),
    };
    await this.#store.record(record, receipt, undefined);
    this.onFinal?.(record, undefined);
    return true;
  }

  /** Cancels all that runs because the service stops; waits for the outcomes. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const all = [...this.#running.values()];
    for (const { deadline } of all)
      deadline.cancel(new Interruption('shutting_down', 'the service is stopping'));
    await Promise.all(all.map(({ ended }) => ended));
  }

  /** Waits until nothing runs, or for `ms`. */
  async idle(ms: number): Promise<void> {
    const until = performance.now() + ms;
    while (this.#running.size > 0 && performance.now() < until) {
      await Promise.race([
        Promise.all([...this.#running.values()].map(({ ended }) => ended)),
        new Promise((resolve) => setTimeout(resolve, Math.max(0, until - performance.now())).unref()),
      ]);
    }
  }

  async #run(task: RunningTask): Promise<TaskOutcome> {
    const { deadline } = task;
    const taskId = task.resolved.task.task_id;
    try {
      const kept = (await this.#claim(task)) ?? (await this.#recall(task));
      if (kept !== undefined) return kept;
      const pending = await this.#store.pending(taskId);
      if (pending?.cancelReason !== undefined) deadline.cancel(cancelled(pending.cancelReason));
      task.open();
      return await this.#execute(task);
    } catch (error) {
      if (error instanceof Conflict) throw error;
      this.#log.error({ event: 'task_error', task_id: taskId, error: (error as Error).stack });
      const code = error instanceof StoreUnavailable ? 'store_unavailable' : 'internal_error';
      return failedWith(taskId, code, (error as Error).message);
    } finally {
      deadline.clear();
      await this.#leases.release(taskId);
    }
  }

  /** Waits until no other process executes the task; an outcome when that is not to be waited for any longer. */
  async #claim({ resolved, deadline }: RunningTask): Promise<TaskOutcome | undefined> {
    const taskId = resolved.task.task_id;
    for (;;) {
      const claim = await this.#leases.claim(taskId, resolved.requestHash);
      if (claim === 'granted') return undefined;
      if (claim === 'conflict') throw new Conflict();
      await deadline.sleep(HELD_POLL_MS);
      const { interruption } = deadline;
      if (interruption !== undefined) return failedWith(taskId, interruption.code, interruption.message);
    }
  }

  /** What stands of a task; undefined when it is to be executed. */
  async #recall(task: RunningTask): Promise<TaskOutcome | undefined> {
    const { resolved } = task;
    const stored = await this.#store.find(resolved.task.task_id);
    if (stored === undefined) return undefined;
    const begins = stored.outcome.status === 'failed' && replayOf(task) > replayOf(stored);
    const wasRejected = stored.requestHash.startsWith(REJECTED);
    // A message that once was no task may have become one, by another configuration.
    const mayDiffer = wasRejected && (begins || !stored.final);
    if (stored.requestHash !== resolved.requestHash && !mayDiffer) throw new Conflict();
    if (stored.final) return begins ? await this.#reopen(task) : await this.#outcomeOf(stored);
    task.resume(replayOf(stored));
    return undefined;
  }

  /**
   * Begins the new life of a task that failed for good. The event of the old one must be out before: its mark
   * would be taken for that of the new one.
   */
  async #reopen({ resolved, deadline }: RunningTask): Promise<TaskOutcome | undefined> {
    const taskId = resolved.task.task_id;
    while (!(await this.#store.isPublished(taskId))) {
      await deadline.sleep(HELD_POLL_MS);
      const { interruption } = deadline;
      if (interruption !== undefined) return failedWith(taskId, interruption.code, interruption.message);
    }
    await this.#store.reopen(taskId);
    return undefined;
  }

  async #outcomeOf(stored: TaskRecord): Promise<TaskOutcome> {
    if (stored.outcome.status === 'failed')
      return { outcome: stored.outcome, output: undefined, final: true };
    const artifact = await this.#store.artifact(stored.outcome.artifact_id);
    return { outcome: stored.outcome, output: artifact?.output, final: true };
  }

  async #execute(task: RunningTask): Promise<TaskOutcome> {
    const { resolved } = task;
    const trace = this.#tracing?.begin(resolved, task.from, task.sender);
    task.trace = trace;
    let executed: Executed | undefined;
    try {
      executed =
        task.givenUp === undefined
          ? await execute(this.#parts, resolved, task.deadline, task)
          : unexecuted(resolved.task.task_id, resolved.requestHash, 'internal_error', task.givenUp);
      return await this.#conclude(task, executed);
    } finally {
      trace?.end(executed);
    }
  }

  async #conclude(task: RunningTask, executed: Executed): Promise<TaskOutcome> {
    const { resolved, trace } = task;
    const { output, receipt } = executed;
    const final = isFinal(executed.outcome, task.lastAttempt);
    const outcome = final ? asFinal(executed.outcome) : executed.outcome;
    const record: TaskRecord = {
      taskId: resolved.task.task_id,
      requestHash: resolved.requestHash,
      final,
      domain: resolved.task.domain,
      finishedAt: Date.now(),
      outcome,
      ...((task.origin ?? trace) !== undefined && { origin: { ...task.origin, ...trace?.context } }),
    };
    const recordsSince = performance.now();
    const records = trace?.begin('record');
    await this.#record(record, receipt, output, task).finally(() => records?.end());
    const recordMs = performance.now() - recordsSince;
    this.#metrics.ended(record, receipt, recordMs);
    this.#recent.add(record);
    this.#log.info({
      event: 'task_ended',
      task_id: resolved.task.task_id,
      domain: resolved.task.domain,
      tier: outcome.tier,
      model: outcome.model,
      status: outcome.status,
      ...(outcome.status === 'failed' && { code: outcome.code, detail: this.#loggedDetail(outcome) }),
      tokens_used: outcome.tokens_used,
      execution_time_ms: outcome.execution_time_ms,
      timings: outcome.timings,
      record_ms: Math.round(recordMs * 1000) / 1000,
      attempts: outcome.attempts,
      trace_id: traceIdOf(record.origin?.traceparent),
    });
    if (this.#parts.config.log.prompts && output !== undefined)
      this.#log.info({ event: 'output', task_id: record.taskId, output: Buffer.from(output).toString() });
    if (final) this.onFinal?.(record, output);
    return { outcome, output, final };
  }

  /** Without what may repeat the text of the task or of the model, unless prompts are logged. */
  #loggedDetail({ code, detail }: Failed): string | undefined {
    if (this.#parts.config.log.prompts) return detail;
    if (tellsOfContent.has(code)) return undefined;
    return quotesGateway.test(detail) ? detail.slice(0, detail.indexOf(':')) : detail;
  }

  /**
   * A task from the queue waits for a store that is away, with its outcome in hand: the model is not called again.
   * An HTTP caller is told at once.
   */
  async #record(
    record: TaskRecord,
    receipt: Receipt,
    output: Uint8Array | undefined,
    task: RunningTask,
  ): Promise<void> {
    for (;;) {
      try {
        return await this.#store.record(record, receipt, output);
      } catch (error) {
        if (!(error instanceof StoreUnavailable) || !task.patient || this.#stopping) throw error;
        this.#log.warn({ event: 'record_waits', task_id: record.taskId, error: error.message });
        await new Promise((resolve) => setTimeout(resolve, RECORD_RETRY_MS));
      }
    }
  }
}

const tellsOfContent: ReadonlySet<Failed['code']> = new Set([
  'refused',
  'needs_clarification',
  'output_invalid',
]);
const quotesGateway = /^the gateway (?:answered|reported)[^:]*:/;
const HELD_POLL_MS = 100;
/** What the hash of a message begins with that named a task_id and was no task. */
const REJECTED = 'rejected:';
const RECORD_RETRY_MS = 500;

/** The same task_id with another body. */
export class Conflict extends Error {}

function cancelled(reason: string): Interruption {
  return new Interruption(
    'cancelled',
    reason === '' ? 'the task was cancelled' : `the task was cancelled: ${reason}`,
    true,
  );
}

/** The life of a task, counted from 0: a new one begins when an operator replays it from the dead letters. */
function replayOf({ origin }: { readonly origin?: TaskOrigin | undefined }): number {
  return origin?.replay ?? 0;
}

const expired = new Interruption('deadline_exceeded', 'the task expired before it was executed');

/** Milliseconds until the sender no longer wants the task. */
function leftOf({ expiresAt }: Entry): number {
  return expiresAt === undefined ? Number.POSITIVE_INFINITY : Math.max(0, expiresAt - Date.now());
}

/** The last attempt is final, but for one that was no attempt: stopped from outside, or never begun. */
function isFinal(outcome: CompletedHead | Failed, lastAttempt: boolean): boolean {
  if (outcome.status === 'completed' || !outcome.retryable) return true;
  return lastAttempt && !notAttempts.has(outcome.code);
}

const notAttempts: ReadonlySet<Failed['code']> = new Set(['shutting_down', 'cancelled', 'tier_saturated']);

/** What is final is not executed again, whatever its code says of itself. */
function asFinal(outcome: CompletedHead | Failed): CompletedHead | Failed {
  return outcome.status === 'failed' && outcome.retryable ? { ...outcome, retryable: false } : outcome;
}

/** The end of what never was executed, or not to any end. */
function unexecuted(
  taskId: string,
  requestHash: string,
  code: Failed['code'],
  detail: string,
): Executed & { outcome: Failed } {
  const at = new Date().toISOString();
  return {
    outcome: { task_id: taskId, status: 'failed', code, detail, retryable: false, tokens_used: 0 },
    output: undefined,
    receipt: {
      task_id: taskId,
      request_hash: requestHash,
      accepted_at: at,
      finished_at: at,
      context: { status: 'none', tokens: 0, sources_used: [], sources_dropped: [] },
      attempts: [],
      tokens_used: 0,
      notes: [],
      outcome: { status: 'failed', code },
    },
  };
}

/** A failure that is not recorded: nobody may rely on it. */
function failedWith(taskId: string, code: Failed['code'], detail: string): TaskOutcome {
  const outcome: Failed = {
    task_id: taskId,
    status: 'failed',
    code,
    detail,
    retryable: true,
    tokens_used: 0,
  };
  return { outcome, output: undefined, final: false };
}

class RunningTask implements ExecutionWatcher {
  readonly resolved: ResolvedTask;
  readonly deadline: Deadline;
  readonly events: TaskEvent[] = [];
  ended!: Promise<TaskOutcome>;
  readonly opened: Promise<void>;
  open!: () => void;
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
  #shown = false;
  #caughtUp: (() => void) | undefined;
  #caughtUpPromise: Promise<void> | undefined;

  constructor(resolved: ResolvedTask, timeoutMs: number, givenUp: string | undefined) {
    this.resolved = resolved;
    this.givenUp = givenUp;
    this.deadline = new Deadline(timeoutMs);
    this.opened = new Promise((resolve) => {
      this.open = resolve;
    });
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
    ended.catch(() => {}); // each caller hears of it through his own promise
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
      this.#shown = true;
      this.events.push({ event: 'delta', data: { text: text.slice(at, to) } });
      at = to;
    }
    if (text !== '') this.#emit({ event: 'usage', data: { completion_tokens: tokens } });
  }

  reset(reason: string, attempt: number): void {
    if (this.#shown) this.#emit({ event: 'reset', data: { reason, attempt } });
    this.#shown = false;
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
    this.events.push(event);
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
