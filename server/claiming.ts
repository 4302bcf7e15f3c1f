import { recorded, type TaskOutcome } from './caller.js';
import { HELD_POLL_MS, type Leases } from './leases.js';
import type { Following, Peers } from './peers.js';
import type { ResolvedTask } from './resolution.js';
import { cancellation, type RunningTask } from './running-task.js';
import { Conflict, standingOf } from './standing.js';
import { replayOf } from './store/lives.js';
import { type ArtifactStore, StoreUnavailable, type TaskRecord } from './store/store.js';
import { storedOutput } from './store/stored-output.js';
import { interruptedBefore } from './unrecorded.js';

export interface ClaimingParts {
  readonly store: ArtifactStore;
  readonly leases: Leases;
  /** Undefined when this is the only process of its node. */
  readonly peers: Peers | undefined;
}

/** Whether a task is to be executed by this process: the rules of idempotency over all processes and the store. */
export class Claiming {
  readonly #parts: ClaimingParts;

  constructor(parts: ClaimingParts) {
    this.#parts = parts;
  }

  /**
   * Undefined when the task is to be executed here, and its lease is held; else what it came to elsewhere or before.
   * @throws Conflict, StoreUnavailable
   */
  async earlier(task: RunningTask): Promise<TaskOutcome | undefined> {
    return (await this.#claim(task)) ?? (await this.#recall(task));
  }

  /**
   * Waits until no other process has the task; an outcome when that one has ended it, or when it is not to be waited
   * for any longer. Another body may hold the lease only to find out that it is a conflict itself.
   */
  async #claim(task: RunningTask): Promise<TaskOutcome | undefined> {
    const { resolved, deadline } = task;
    const taskId = resolved.task.task_id;
    let following: Following | undefined;
    try {
      for (;;) {
        const claim = await this.#parts.leases.claim(taskId, resolved.requestHash);
        if (claim === 'granted' && following === undefined) return undefined;
        const stored = await this.#parts.store.find(taskId);
        const standing = standingOf(task, stored);
        if (standing === 'stands') {
          if (following !== undefined) await deadline.race(following.shown());
          return await this.#outcomeOf(stored!);
        }
        if (claim === 'granted') return undefined;
        if (claim === 'conflict' && !(await this.#isNamed(resolved, stored))) throw new Conflict();
        if (claim === 'held') following = this.#follow(task, following);
        await Promise.race([
          deadline.sleep(HELD_POLL_MS),
          ...(following === undefined ? [] : [following.over]),
        ]);
        if (deadline.interruption !== undefined) return interruptedBefore(taskId, deadline.interruption);
      }
    } finally {
      following?.leave();
    }
  }

  /** Whether what is written down says that this body is the task: then whoever else holds it will find that out. */
  async #isNamed({ task, requestHash }: ResolvedTask, stored: TaskRecord | undefined): Promise<boolean> {
    if (stored !== undefined) return stored.requestHash === requestHash;
    return (await this.#parts.store.pending(task.task_id))?.queuedHash === requestHash;
  }

  /** Sees what the process that executes the task shows; another one than before may do so by now. */
  #follow(task: RunningTask, before: Following | undefined): Following | undefined {
    task.executedElsewhere();
    let following = before;
    if (following === undefined || following.isOver) {
      following?.leave();
      task.takenOver();
      following = this.#parts.peers?.follow(task.resolved.task.task_id, (events) => task.relay(events));
    }
    if (task.live) following?.watch();
    return following;
  }

  /** What stands of a task; undefined when it is to be executed. */
  async #recall(task: RunningTask): Promise<TaskOutcome | undefined> {
    const stored = await this.#parts.store.find(task.resolved.task.task_id);
    switch (standingOf(task, stored)) {
      case 'stands':
        return await this.#outcomeOf(stored!);
      case 'begins anew': {
        const interrupted = await this.#reopen(task);
        if (interrupted !== undefined) return interrupted;
        break;
      }
      case 'open':
        if (stored !== undefined) task.resume(replayOf(stored));
    }
    await this.#heedNotes(task, stored);
    return stored === undefined || task.deadline.interruption !== undefined
      ? undefined
      : triedBefore(task, stored);
  }

  /**
   * A task that was cancelled before it is executed ends at once. While nothing is recorded, the body that was taken for
   * the broker is the task, although another one was faster.
   */
  async #heedNotes({ resolved, deadline }: RunningTask, stored: TaskRecord | undefined): Promise<void> {
    const pending = await this.#parts.store.pending(resolved.task.task_id);
    const queued = pending?.queuedHash;
    if (stored === undefined && queued !== undefined && queued !== resolved.requestHash) throw new Conflict();
    if (pending?.cancelReason !== undefined) deadline.cancel(cancellation(pending.cancelReason));
  }

  /**
   * Begins the new life of a task that failed for good. The event of the old one must be out before: its mark
   * would be taken for that of the new one.
   */
  async #reopen(task: RunningTask): Promise<TaskOutcome | undefined> {
    const { resolved, deadline } = task;
    const taskId = resolved.task.task_id;
    while (!(await this.#parts.store.isPublished(taskId))) {
      await deadline.sleep(HELD_POLL_MS);
      if (deadline.interruption !== undefined) return interruptedBefore(taskId, deadline.interruption);
    }
    await this.#parts.store.reopen(taskId, replayOf(task));
    return undefined;
  }

  async #outcomeOf(stored: TaskRecord): Promise<TaskOutcome> {
    const output = await storedOutput(this.#parts.store, stored);
    // The record and its output are two reads, and both may have become too old between them.
    if (output === undefined && stored.outcome.status === 'completed')
      throw new StoreUnavailable('the outcome was removed from the store while it was read');
    return recorded(stored, output);
  }
}

/**
 * The failure of another message of the task, as long as the next attempt is not due; after that, this one is the next
 * attempt. An HTTP caller does not wait, and nobody for a task that is given up.
 */
function triedBefore(task: RunningTask, stored: TaskRecord): TaskOutcome | undefined {
  const { retries, givenUp, from } = task;
  const attempts = stored.origin?.attempts;
  if (attempts === undefined || replayOf(stored) !== replayOf(task)) return undefined;
  task.triedBefore(attempts);
  if (retries === undefined || givenUp !== undefined || from === 'http') return undefined;
  if (attempts < retries.attempt || !retries.wait(stored)) return undefined;
  task.waits = true;
  return recorded(stored, undefined);
}
