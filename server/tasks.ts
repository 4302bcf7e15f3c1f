import { type Caller, type Entry, PostponedCaller, type TaskOutcome } from './caller.js';
import { Claiming, type ClaimingParts } from './claiming.js';
import { Interruption } from './deadline.js';
import { Ending, type EndingParts } from './ending.js';
import { execute } from './execution.js';
import type { ExecutionParts } from './execution-parts.js';
import { type Executed, unexecuted } from './outcome.js';
import { type Rejection, Rejections } from './rejections.js';
import type { ResolvedTask } from './resolution.js';
import { RunningTask } from './running-task.js';
import { Conflict } from './standing.js';
import { replayOf } from './store/lives.js';
import { StoreUnavailable } from './store/store.js';
import type { Tracing } from './tracing/tracing.js';
import { failedWith, interruptedBefore } from './unrecorded.js';

export type Submission = Caller | { readonly conflict: true };

export interface TasksParts extends Omit<EndingParts, 'config'>, ClaimingParts {
  readonly parts: ExecutionParts;
  /** Undefined when no traces are taken. */
  readonly tracing: Tracing | undefined;
}

/** Every task that runs in this process, and the rules of idempotency over it and the store. */
export class Tasks {
  readonly #running = new Map<string, RunningTask>();
  readonly #parts: TasksParts;
  readonly #claiming: Claiming;
  readonly #ending: Ending;
  readonly #rejections: Rejections;

  constructor(parts: TasksParts) {
    this.#parts = parts;
    this.#claiming = new Claiming(parts);
    this.#ending = new Ending({ ...parts, config: parts.parts.config.log });
    this.#rejections = new Rejections({
      ...parts,
      ending: this.#ending,
      executed: (taskId) => this.#running.get(taskId)?.isExecutedSomewhere(),
    });
    parts.leases.onCancelRequested = (taskId) => this.#running.get(taskId)?.cancel('');
    if (parts.peers !== undefined) parts.peers.onFollow = (taskId) => this.#followed(taskId);
  }

  /** Called with each outcome that is final and durable: its event is to be published. */
  set onFinal(listener: Ending['onFinal']) {
    this.#ending.onFinal = listener;
  }

  get running(): number {
    return this.#running.size;
  }

  /** Whether it is this process that executes it. */
  isRunning(taskId: string): boolean {
    return this.#running.get(taskId)?.isOpen ?? false;
  }

  /** Whether somebody here waits for it, wherever it is executed. */
  isAwaited(taskId: string): boolean {
    return this.#running.has(taskId);
  }

  /** Runs a task, joins the one that runs, or answers with what is stored. */
  submit(resolved: ResolvedTask, entry: Entry): Submission {
    const taskId = resolved.task.task_id;
    const running = this.#running.get(taskId);
    if (
      running !== undefined &&
      !running.abandoned &&
      !running.waits &&
      replayOf(entry) <= replayOf(running)
    ) {
      if (running.requestHash === resolved.requestHash) return running.join(entry);
      return running.isOpen ? { conflict: true } : this.#postponed(running, resolved, entry);
    }
    const timeoutMs = this.#parts.parts.config.queues[resolved.tier]!.timeout * 1000;
    const leftMs = leftOf(entry);
    const started = new RunningTask(resolved, Math.min(timeoutMs, leftMs), entry.givenUp);
    if (leftMs === 0) started.deadline.cancel(expired);
    this.#running.set(taskId, started);
    const run = running === undefined ? this.#run(started) : running.over.then(() => this.#run(started));
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
    return running?.isOpen === true && running.requestHash !== requestHash;
  }

  /** Whether another process executes another body, of a task of which nothing is recorded. @throws StoreUnavailable */
  async conflictsElsewhere({ task, requestHash }: ResolvedTask): Promise<boolean> {
    return this.#parts.leases.isHeld(task.task_id, requestHash);
  }

  /**
   * Cancels a task for good. False, and without effect, when it does not run here.
   * @throws StoreUnavailable see `cancelWherever`.
   */
  async cancel(taskId: string): Promise<boolean> {
    const running = this.#running.get(taskId);
    return running?.isOpen === true && (await this.#stopHere(running, ''));
  }

  /**
   * Cancels a task for good, wherever it waits or runs: here, in another process of the store, or not yet anywhere.
   * Without effect on a task that has ended for good.
   * @throws StoreUnavailable when the cancellation cannot be noted: what runs here has ended, and whoever has a message
   * of the task may execute it again.
   */
  async cancelWherever(taskId: string, reason: string): Promise<void> {
    const running = this.#running.get(taskId);
    if (running !== undefined && (await this.#stopHere(running, reason))) return;
    await this.#parts.store.noteCancelled(taskId, reason);
    await this.#parts.leases.requestCancel(taskId);
    // It may have come after the first look and before the note.
    this.#running.get(taskId)?.cancel(reason);
  }

  /** True when that is why it ends. The broker still holds the message of one from there, and this process may die now. */
  async #stopHere(running: RunningTask, reason: string): Promise<boolean> {
    if (!running.cancel(reason)) return false;
    if (running.patient) await this.#parts.store.noteCancelled(running.resolved.task.task_id, reason);
    return true;
  }

  /** See Rejections. @throws StoreUnavailable */
  reject(rejection: Rejection): Promise<boolean> {
    return this.#rejections.reject(rejection);
  }

  /** Cancels all that runs because the service stops; waits for the outcomes. */
  async stop(): Promise<void> {
    this.#ending.stop();
    const all = [...this.#running.values()];
    for (const { deadline } of all)
      deadline.cancel(new Interruption('shutting_down', 'the service is stopping'));
    await Promise.all(all.map(({ over }) => over));
  }

  /** Waits until nothing runs, or for `ms`. */
  async idle(ms: number): Promise<void> {
    const until = performance.now() + ms;
    while (this.#running.size > 0 && performance.now() < until) {
      await Promise.race([
        Promise.all([...this.#running.values()].map(({ over }) => over)),
        new Promise((resolve) => setTimeout(resolve, Math.max(0, until - performance.now())).unref()),
      ]);
    }
  }

  async #run(task: RunningTask): Promise<TaskOutcome> {
    const { deadline } = task;
    const taskId = task.resolved.task.task_id;
    try {
      await this.#rejections.over(taskId);
      const kept = await this.#claiming.earlier(task);
      if (kept !== undefined) return kept;
      task.open();
      return await this.#execute(task);
    } catch (error) {
      if (error instanceof Conflict) throw error;
      const { message, stack } = error as Error;
      if (error instanceof StoreUnavailable) {
        this.#parts.log.warn({ event: 'task_not_recorded', task_id: taskId, error: message });
        return failedWith(taskId, 'store_unavailable', message);
      }
      this.#parts.log.error({ event: 'task_error', task_id: taskId, error: stack });
      return failedWith(taskId, 'internal_error', message);
    } finally {
      deadline.clear();
      await this.#parts.leases.release(taskId);
    }
  }

  /** Joins a task for somebody in another process, once it is known whether it is executed here. */
  async #followed(taskId: string): Promise<Caller | undefined> {
    const running = this.#running.get(taskId);
    if (running === undefined) return undefined;
    await running.decided();
    return running.isOpen && !running.abandoned ? running.join({ from: 'http' }) : undefined;
  }

  /** A caller who is told of a conflict only when it is known which body is that of the task. */
  #postponed(running: RunningTask, resolved: ResolvedTask, entry: Entry): Caller {
    return new PostponedCaller(async (hasLeft) => {
      await running.decided();
      if (hasLeft()) return nobody(resolved.task.task_id);
      const submission = this.submit(resolved, entry);
      if ('conflict' in submission) throw new Conflict();
      return submission;
    });
  }

  async #execute(task: RunningTask): Promise<TaskOutcome> {
    const { resolved } = task;
    const trace = this.#parts.tracing?.begin(resolved, task.from, task.sender);
    task.trace = trace;
    let executed: Executed | undefined;
    try {
      executed =
        task.givenUp === undefined
          ? await execute(this.#parts.parts, resolved, task.deadline, task)
          : unexecuted(resolved.task.task_id, resolved.requestHash, 'internal_error', task.givenUp);
      task.executed();
      return await this.#ending.end(task, executed);
    } finally {
      trace?.end(executed);
    }
  }
}

const expired = new Interruption('deadline_exceeded', 'the task expired before it was executed');

/** Milliseconds until the sender no longer wants the task. */
function leftOf({ expiresAt }: Entry): number {
  return expiresAt === undefined ? Number.POSITIVE_INFINITY : Math.max(0, expiresAt - Date.now());
}

/** In place of a caller who went away before his task was one. */
function nobody(taskId: string): Caller {
  const left = new Interruption('cancelled', 'every caller went away');
  return {
    ended: Promise.resolve(interruptedBefore(taskId, left)),
    known: new Promise(() => {}),
    events: [],
    onEvents: undefined,
    setBehind() {},
    leave() {},
  };
}
