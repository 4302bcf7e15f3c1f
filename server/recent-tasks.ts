import type { TaskRecord } from './store/store.js';

/** A task that has ended lately, as whoever watches the service sees it. */
export interface RecentTask {
  readonly task_id: string;
  readonly domain: string;
  readonly tier: string | undefined;
  readonly model: string | undefined;
  readonly status: 'completed' | 'failed';
  readonly code: string | undefined;
  readonly execution_time_ms: number | undefined;
  readonly tokens_used: number;
  /** Milliseconds since the epoch. */
  readonly finished_at: number;
}

/** The last tasks of this process. To keep one costs a reference. */
export class RecentTasks {
  readonly #ring: TaskRecord[] = [];
  #next = 0;

  add(record: TaskRecord): void {
    this.#ring[this.#next] = record;
    this.#next = (this.#next + 1) % KEPT;
  }

  list(): RecentTask[] {
    return this.#ring.map(({ taskId, domain, finishedAt, outcome }) => ({
      task_id: taskId,
      domain,
      tier: outcome.tier,
      model: outcome.model,
      status: outcome.status,
      code: outcome.status === 'failed' ? outcome.code : undefined,
      execution_time_ms: outcome.execution_time_ms,
      tokens_used: outcome.tokens_used,
      finished_at: finishedAt,
    }));
  }
}

const KEPT = 50;
