import type { Failed, Receipt } from '../contracts/outcome.js';
import { Deadline, Interruption } from './deadline.js';
import { type ExecutionParts, type ExecutionWatcher, execute } from './execution.js';
import type { Log } from './log.js';
import type { ResolvedTask } from './resolution.js';
import { type ArtifactStore, type CompletedHead, StoreUnavailable, type TaskRecord } from './store/store.js';

/** An outcome that is durable, or that nobody may rely on after this answer (a failure the store did not take). */
export interface TaskOutcome {
  readonly outcome: CompletedHead | Failed;
  readonly output: Uint8Array | undefined;
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

/** Every task that runs in this process, and the rules of idempotency over it and the store. */
export class Tasks {
  readonly #running = new Map<string, RunningTask>();
  readonly #parts: ExecutionParts;
  readonly #store: ArtifactStore;
  readonly #log: Log;

  constructor(parts: ExecutionParts, store: ArtifactStore, log: Log) {
    this.#parts = parts;
    this.#store = store;
    this.#log = log;
  }

  get running(): number {
    return this.#running.size;
  }

  isRunning(taskId: string): boolean {
    return this.#running.has(taskId);
  }

  /** Runs a task, joins the one that runs, or answers with what is stored. */
  submit(resolved: ResolvedTask): Submission {
    const taskId = resolved.task.task_id;
    const running = this.#running.get(taskId);
    if (running !== undefined && !running.abandoned) {
      return running.requestHash === resolved.requestHash ? running.join() : { conflict: true };
    }
    const started = new RunningTask(resolved, this.#parts.config.queues[resolved.tier]!.timeout * 1000);
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
    return started.join();
  }

  /** Resolves when a task has passed the rules of idempotency, or has ended. */
  async opened(taskId: string): Promise<void> {
    await this.#running.get(taskId)?.opened;
  }

  /** Cancels a task for good. False when it does not run here. */
  cancel(taskId: string): boolean {
    const running = this.#running.get(taskId);
    running?.deadline.cancel(new Interruption('cancelled', 'the task was cancelled', true));
    return running !== undefined;
  }

  /** Cancels all that runs because the service stops; waits for the outcomes. */
  async stop(): Promise<void> {
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
    const { resolved } = task;
    try {
      const stored = await this.#store.find(resolved.task.task_id);
      if (stored !== undefined) {
        if (stored.requestHash !== resolved.requestHash) throw new Conflict();
        if (stored.final) return await this.#recall(stored);
      }
      task.open();
      return await this.#execute(task);
    } catch (error) {
      if (error instanceof Conflict) throw error;
      this.#log.error({ event: 'task_error', task_id: resolved.task.task_id, error: (error as Error).stack });
      const code = error instanceof StoreUnavailable ? 'store_unavailable' : 'internal_error';
      return failedWith(resolved.task.task_id, code, (error as Error).message);
    } finally {
      task.deadline.clear();
    }
  }

  async #recall(stored: TaskRecord): Promise<TaskOutcome> {
    if (stored.outcome.status === 'failed') return { outcome: stored.outcome, output: undefined };
    const artifact = await this.#store.artifact(stored.outcome.artifact_id);
    return { outcome: stored.outcome, output: artifact?.output };
  }

  async #execute(task: RunningTask): Promise<TaskOutcome> {
    const { resolved } = task;
    const { outcome, output, receipt } = await execute(this.#parts, resolved, task.deadline, task);
    const final = outcome.status === 'completed' || !outcome.retryable;
    await this.#record(resolved, outcome, final, receipt, output);
    this.#log.info({
      event: 'task_ended',
      task_id: resolved.task.task_id,
      domain: resolved.task.domain,
      tier: outcome.tier,
      model: outcome.model,
      status: outcome.status,
      ...(outcome.status === 'failed' && { code: outcome.code, detail: outcome.detail }),
      tokens_used: outcome.tokens_used,
      execution_time_ms: outcome.execution_time_ms,
      attempts: outcome.attempts,
    });
    return { outcome, output };
  }

  #record(
    { task, requestHash }: ResolvedTask,
    outcome: CompletedHead | Failed,
    final: boolean,
    receipt: Receipt,
    output: Uint8Array | undefined,
  ): Promise<void> {
    const record: TaskRecord = {
      taskId: task.task_id,
      requestHash,
      final,
      domain: task.domain,
      finishedAt: Date.now(),
      outcome,
    };
    return this.#store.record(record, receipt, output);
  }
}

/** The same task_id with another body. */
export class Conflict extends Error {}

function failedWith(
  taskId: string,
  code: 'store_unavailable' | 'internal_error',
  detail: string,
): TaskOutcome {
  const outcome: Failed = {
    task_id: taskId,
    status: 'failed',
    code,
    detail,
    retryable: true,
    tokens_used: 0,
  };
  return { outcome, output: undefined };
}

class RunningTask implements ExecutionWatcher {
  readonly resolved: ResolvedTask;
  readonly deadline: Deadline;
  readonly events: TaskEvent[] = [];
  ended!: Promise<TaskOutcome>;
  readonly opened: Promise<void>;
  open!: () => void;
  readonly #callers = new Set<JoinedCaller>();
  #shown = false;
  #caughtUp: (() => void) | undefined;
  #caughtUpPromise: Promise<void> | undefined;

  constructor(resolved: ResolvedTask, timeoutMs: number) {
    this.resolved = resolved;
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

  get live(): boolean {
    for (const caller of this.#callers) if (caller.onEvents !== undefined) return true;
    return false;
  }

  settle(ended: Promise<TaskOutcome>): void {
    this.ended = ended;
    ended.catch(() => {}); // each caller hears of it through his own promise
  }

  join(): Caller {
    const caller = new JoinedCaller(this);
    this.#callers.add(caller);
    return caller;
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
