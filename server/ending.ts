import type { Config } from '../config/schema.js';
import type { Failed, Receipt } from '../contracts/outcome.js';
import { traceIdOf } from '../contracts/trace-context.js';
import { recorded, type TaskOutcome } from './caller.js';
import type { Log } from './log.js';
import { loggedDetail } from './logged-detail.js';
import type { Metrics } from './metrics.js';
import { cancelledAfter, type Executed } from './outcome.js';
import type { RecentTasks } from './recent-tasks.js';
import { cancellation, type RunningTask } from './running-task.js';
import { Conflict } from './standing.js';
import { type ArtifactStore, type CompletedHead, StoreUnavailable, type TaskRecord } from './store/store.js';
import { storedOutput } from './store/stored-output.js';

export interface EndingParts {
  readonly config: Config['log'];
  readonly store: ArtifactStore;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'ended'>;
  readonly recent: Pick<RecentTasks, 'add'>;
}

/** What is told of a task. */
interface Ended {
  readonly record: TaskRecord;
  readonly output: Uint8Array | undefined;
}

/** What an execution was recorded as; not kept, when another process has ended the task before. */
interface Recorded {
  readonly record: TaskRecord;
  readonly executed: Executed;
  readonly isKept: boolean;
}

/** Ends tasks that were executed: stores the outcome, then tells log, metrics and the outbox. */
export class Ending {
  /** Called with each outcome that is final and durable: its event is to be published. */
  onFinal: ((record: TaskRecord, output: Uint8Array | undefined) => void) | undefined;
  readonly #parts: EndingParts;
  #stopping = false;

  constructor(parts: EndingParts) {
    this.#parts = parts;
  }

  /** Waits no longer for a store that is away. */
  stop(): void {
    this.#stopping = true;
  }

  /**
   * @throws StoreUnavailable when the outcome is not durable, or an execution in another life of the task goes on.
   * @throws Conflict when another process has ended another body as the task meanwhile.
   */
  async end(task: RunningTask, executed: Executed): Promise<TaskOutcome> {
    const { metrics, recent } = this.#parts;
    const since = performance.now();
    const stage = task.trace?.begin('record');
    const recording = this.#durable(task, () => this.#record(task, executed));
    const { record, executed: ended, isKept } = await recording.finally(() => stage?.end());
    const { output, receipt } = ended;
    const recordMs = performance.now() - since;
    metrics.ended(record, receipt, recordMs);
    recent.add(record);
    this.#tell(record, output, recordMs);
    if (!isKept) return this.#announced(await this.#standing(record, output));
    const { wasPaused = false } = ended;
    return Object.assign(this.#announced({ record, output }), { recordMs, wasPaused });
  }

  /** As it was executed; or as cancelled, when that was asked for and noted before this could be recorded. */
  async #record(task: RunningTask, executed: Executed): Promise<Recorded> {
    const { store } = this.#parts;
    const record = recordOf(task, executed);
    if (
      await store.record(record, executed.receipt, executed.output, { unlessCancelled: !isCancelled(record) })
    )
      return { record, executed, isKept: true };
    const reason = (await store.pending(record.taskId))?.cancelReason;
    if (reason === undefined) return { record, executed, isKept: false };
    const cancelled = cancelledAfter(executed, cancellation(reason));
    const instead = recordOf(task, cancelled);
    const isKept = await store.record(instead, cancelled.receipt, undefined);
    return { record: instead, executed: cancelled, isKept };
  }

  #announced({ record, output }: Ended): TaskOutcome {
    if (record.final) this.onFinal?.(record, output);
    return recorded(record, output);
  }

  /** A process that stood still for longer than its lease may find that another one has ended its task meanwhile. */
  async #standing(record: TaskRecord, output: Uint8Array | undefined): Promise<Ended> {
    const { store } = this.#parts;
    const stored = await store.find(record.taskId);
    if (stored === undefined) return { record, output };
    if (stored.requestHash !== record.requestHash) throw new Conflict();
    if (!stored.final)
      throw new StoreUnavailable('the task has begun anew: this execution of it does not count');
    return { record: stored, output: await storedOutput(store, stored) };
  }

  /**
   * Ends for good what never was executed.
   * @throws StoreUnavailable when that is not durable.
   */
  async reject(record: TaskRecord, receipt: Receipt): Promise<void> {
    if (await this.#parts.store.record(record, receipt, undefined)) this.onFinal?.(record, undefined);
  }

  /**
   * A task from the queue waits for a store that is away, with its outcome in hand: the model is not called again.
   * An HTTP caller is told at once.
   */
  async #durable<T>(task: RunningTask, record: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await record();
      } catch (error) {
        if (!(error instanceof StoreUnavailable) || !task.patient || this.#stopping) throw error;
        const { task_id } = task.resolved.task;
        this.#parts.log.warn({ event: 'record_waits', task_id, error: error.message });
        await new Promise((resolve) => setTimeout(resolve, RECORD_RETRY_MS));
      }
    }
  }

  #tell(
    { taskId, domain, outcome, origin }: TaskRecord,
    output: Uint8Array | undefined,
    recordMs: number,
  ): void {
    const { log, config } = this.#parts;
    log.info({
      event: 'task_ended',
      task_id: taskId,
      domain,
      tier: outcome.tier,
      model: outcome.model,
      status: outcome.status,
      ...(outcome.status === 'failed' && {
        code: outcome.code,
        detail: loggedDetail(config, outcome.code, outcome.detail),
      }),
      tokens_used: outcome.tokens_used,
      execution_time_ms: outcome.execution_time_ms,
      timings: outcome.timings,
      record_ms: Math.round(recordMs * 1000) / 1000,
      attempts: outcome.attempts,
      trace_id: traceIdOf(origin?.traceparent),
    });
    if (config.prompts && output !== undefined)
      log.info({ event: 'output', task_id: taskId, output: Buffer.from(output).toString() });
  }
}

const RECORD_RETRY_MS = 500;

function recordOf(task: RunningTask, { outcome, wasPaused = false }: Executed): TaskRecord {
  const { resolved, trace } = task;
  const isAttempt = !wasPaused && !(outcome.status === 'failed' && notAttempts.has(outcome.code));
  const final = isFinal(outcome, task.isLastAttempt && isAttempt);
  const attempts = outcome.status === 'completed' ? 0 : task.attemptsWith(isAttempt);
  const origin = { ...task.origin, ...trace?.context, ...(attempts > 0 && { attempts }) };
  return {
    taskId: resolved.task.task_id,
    requestHash: resolved.requestHash,
    final,
    domain: resolved.task.domain,
    finishedAt: Date.now(),
    outcome: final ? asFinal(outcome) : outcome,
    ...(Object.keys(origin).length > 0 && { origin }),
  };
}

/** Whether that is how it has ended for good. */
function isCancelled({ final, outcome }: TaskRecord): boolean {
  return final && outcome.status === 'failed' && outcome.code === 'cancelled';
}

/** The last attempt is final, but for one that was no attempt: stopped from outside, or never begun. */
function isFinal(outcome: CompletedHead | Failed, lastAttempt: boolean): boolean {
  return outcome.status === 'completed' || !outcome.retryable || lastAttempt;
}

const notAttempts: ReadonlySet<Failed['code']> = new Set(['shutting_down', 'cancelled', 'tier_saturated']);

/** What is final is not executed again, whatever its code says of itself. */
function asFinal(outcome: CompletedHead | Failed): CompletedHead | Failed {
  if (outcome.status === 'completed' || !outcome.retryable) return outcome;
  const { retry_after_seconds: _, ...final } = outcome;
  return { ...final, retryable: false };
}
