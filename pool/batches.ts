import type { BatchedJob, BatchedResult } from '../contracts/threads.js';
import { sizeOfText } from './large-text.js';

/** Runs one batch in a thread; rejects when the thread dies. */
export type RunBatch = (jobs: readonly BatchedJob[]) => Promise<readonly BatchedResult[]>;

interface Entry {
  readonly job: BatchedJob;
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Sends the small jobs of one turn of the event loop to a thread together: waking a thread costs more than a
 * short job does (bench: execute). When the thread dies, each job of the batch is tried once more, alone, so that
 * only the one that kills threads fails.
 */
export class Batches {
  readonly #run: RunBatch;
  readonly #onDeath: (error: Error) => void;
  #waiting: Entry[] = [];

  constructor(run: RunBatch, onDeath: (error: Error) => void) {
    this.#run = run;
    this.#onDeath = onDeath;
  }

  add<R>(job: BatchedJob): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      const entry: Entry = { job, resolve, reject };
      if (sizeOf(job) > LARGE_BYTES) {
        this.#sendTogether([entry]);
        return;
      }
      this.#waiting.push(entry);
      if (this.#waiting.length === 1) setImmediate(() => this.#send());
      else if (this.#waiting.length >= MOST_JOBS) this.#send();
    });
  }

  #send(): void {
    const entries = this.#waiting;
    this.#waiting = [];
    if (entries.length > 0) this.#sendTogether(entries);
  }

  #sendTogether(entries: readonly Entry[]): void {
    // Pushed: what an optimized `map` gives counts as an array with holes, which a message carries as so many properties.
    const jobs: BatchedJob[] = [];
    for (const { job } of entries) jobs.push(job);
    this.#run(jobs).then(
      (results) => settle(entries, results),
      (error: Error) => {
        this.#onDeath(error);
        for (const entry of entries) {
          this.#run([entry.job]).then((results) => settle([entry], results), entry.reject);
        }
      },
    );
  }
}

// More of them would keep the first one waiting for the last.
const MOST_JOBS = 24;
// A job of this size takes so long that no other should wait for it.
const LARGE_BYTES = 65_536;

function sizeOf({ kind, job }: BatchedJob): number {
  if (kind === 'read') return job.chunk.length;
  const retrieved = kind === 'assemble' ? sizeOfText(job.retrieved?.text) : 0;
  const inputs = job.task.inputs?.reduce((sum, { content }) => sum + content.length, 0) ?? 0;
  return retrieved + inputs + job.task.description.length + sizeOfText(job.provided);
}

function settle(entries: readonly Entry[], results: readonly BatchedResult[]): void {
  for (const [i, { resolve, reject }] of entries.entries()) {
    const result = results[i]!;
    if ('error' in result) reject(new Error(result.error));
    else resolve(result.value as never);
  }
}
