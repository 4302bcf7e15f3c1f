import type { Log } from '../log.js';
import type { ArtifactStore, TaskRecord } from '../store/store.js';
import { storedOutput } from '../store/stored-output.js';
import { outcomeEvent } from './outcome-event.js';
import { PublishRefused } from './outgoing.js';
import { PublishedMarks } from './published-marks.js';
import type { Publisher } from './publisher.js';
import type { Names } from './topology.js';

/**
 * Brings the terminal event of every final outcome to the broker. The store is the queue: what cannot be published
 * now stays there, marked, and is read again later, so that memory is bounded however long the broker is away.
 */
export interface Outbox {
  /** Takes an outcome that is durable and marked. Never waits, never throws. */
  offer(record: TaskRecord, output: Uint8Array | undefined): void;
  /**
   * Resolves when the broker has the terminal event of a task that has ended for good.
   * @throws PublishRefused when the broker does not take the event; it stays in the store, and is tried again later.
   */
  confirmed(taskId: string): Promise<void>;
  /** Events under way now. */
  readonly underWay: number;
  /** Publishes what the broker takes within `ms`. */
  drain(ms: number): Promise<void>;
  close(): void;
}

export interface OutboxParts {
  readonly store: ArtifactStore;
  readonly publisher: Publisher;
  readonly names: Names;
  readonly log: Log;
  /**
   * How long an outcome is left to the process that made it before another one publishes its event, in
   * milliseconds; 0 when nobody else uses the store.
   */
  readonly graceMs: number;
}

export function openOutbox(parts: OutboxParts): Outbox {
  return new StoreOutbox(parts);
}

/** Bounds of what is held in memory. */
const MAX_UNDER_WAY = 512;
const MAX_BYTES_UNDER_WAY = 16 * 1024 * 1024;
const PAGE = 256;
const SWEEP_MS = 2000;
/** An operator may have raised the broker's limit, or given a permission. */
const REFUSED_AGAIN_MS = 600_000;
/** Between two looks of a drain at a store that cannot be read. */
const UNREADABLE_PAUSE_MS = 500;
/** By how much the clocks of nodes may differ. */
const MOST_SKEW_MS = 60_000;

/** `closed`: the publisher took no more, or the outbox was closed. */
type SweepEnd = 'whole' | 'closed' | 'unreadable';

class StoreOutbox implements Outbox {
  readonly #parts: OutboxParts;
  /** Task ids whose event is under way, or confirmed and not yet marked so in the store. */
  readonly #held = new Map<string, 'under way' | 'confirmed'>();
  /** Task ids whose event could not be published, for the next sweep to try again. */
  readonly #failed = new Set<string>();
  /** Why the broker did not take the event of a task, by its id. */
  readonly #refused = new Map<string, PublishRefused>();
  #refusedSince = Date.now();
  readonly #waiters = new Map<string, ((refused?: PublishRefused) => void)[]>();
  readonly #marks: PublishedMarks;
  readonly #timer: NodeJS.Timeout;
  #bytes = 0;
  #sweeping: Promise<SweepEnd> | undefined;
  #roomy: (() => void) | undefined;
  #closed = false;

  constructor(parts: OutboxParts) {
    this.#parts = parts;
    // An id is held until its mark is cleared, or the sweep would find it again.
    this.#marks = new PublishedMarks(parts.store, parts.log, (records) => {
      for (const { taskId } of records) this.#held.delete(taskId);
      this.#lookForRoom();
    });
    parts.publisher.onOpen = () => this.#sweep();
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#timer.unref();
  }

  get underWay(): number {
    return this.#held.size;
  }

  offer(record: TaskRecord, output: Uint8Array | undefined): void {
    // What does not fit now is found in the store by the next sweep.
    if (this.#closed || !this.#parts.publisher.open || !this.#hasRoom()) return;
    if (!this.#held.has(record.taskId)) void this.#publish(record, output);
  }

  confirmed(taskId: string): Promise<void> {
    const announced = new Promise<void>((resolve, reject) => {
      const settle = (refused?: PublishRefused) => (refused === undefined ? resolve() : reject(refused));
      const others = this.#waiters.get(taskId);
      if (others === undefined) this.#waiters.set(taskId, [settle]);
      else others.push(settle);
    });
    // Not held: it is done, or the sweep finds it, or another process of the store has it under way.
    if (this.#held.get(taskId) !== 'under way') void this.#watch(taskId);
    return announced;
  }

  async drain(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    let isOver = false;
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        isOver = true;
        resolve();
      }, ms);
    });
    // A sweep ends only with what is stored, and waits for the confirms of what does not fit at once.
    const swept = () => Promise.race([this.#sweeping, over]);
    // The one under way may leave young outcomes to others.
    await swept();
    // What others record from now on is theirs; of the last moments before, some of theirs is published twice.
    const began = Date.now() + 1;
    const { publisher } = this.#parts;
    while (publisher.connected && !isOver) {
      // Not one that began meanwhile, and leaves young outcomes to others.
      const ended = await Promise.race([this.#sweep(began), over]);
      await swept();
      void this.#marks.clearAll();
      if (ended === 'whole' && this.#held.size === 0) break;
      const pauseMs = ended === 'unreadable' ? UNREADABLE_PAUSE_MS : 10;
      await Promise.race([new Promise((resolve) => setTimeout(resolve, pauseMs)), over]);
    }
    clearTimeout(timer);
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#marks.close();
    this.#roomy?.();
  }

  #hasRoom(): boolean {
    return this.#held.size < MAX_UNDER_WAY && this.#bytes < MAX_BYTES_UNDER_WAY;
  }

  async #publish(record: TaskRecord, output: Uint8Array | undefined): Promise<void> {
    const { publisher, names, log } = this.#parts;
    const { taskId } = record;
    const event = outcomeEvent(record, output, names);
    const bytes = event.content.length;
    this.#held.set(taskId, 'under way');
    this.#bytes += bytes;
    try {
      if ((await publisher.publish(event)) === 'unroutable') {
        // The exchange has no alternate (another service made it so): keep the event all the same.
        await publisher.keep({ ...event, exchange: '', routingKey: names.unrouted });
        log.warn({ event: 'outcome_unrouted', task_id: taskId });
      }
      this.#held.set(taskId, 'confirmed');
      this.#announce(taskId);
      this.#marks.clear(record);
    } catch (error) {
      this.#held.delete(taskId);
      if (error instanceof PublishRefused) {
        this.#refused.set(taskId, error);
        this.#announce(taskId, error);
      } else this.#failed.add(taskId);
      if (!this.#closed)
        log.error({ event: 'publish_failed', task_id: taskId, error: (error as Error).message });
    } finally {
      this.#bytes -= bytes;
      this.#lookForRoom();
    }
  }

  #announce(taskId: string, refused?: PublishRefused): void {
    for (const settle of this.#waiters.get(taskId) ?? []) settle(refused);
    this.#waiters.delete(taskId);
  }

  /**
   * @param before when outcomes must have ended, in ms since the epoch, that others may be about to publish.
   * @returns undefined when none begins now.
   */
  #sweep(before = Date.now() - this.#parts.graceMs): Promise<SweepEnd> | undefined {
    if (this.#closed || this.#sweeping !== undefined || !this.#parts.publisher.open) return undefined;
    this.#sweeping = this.#publishStored(before)
      .catch((error: Error) => {
        this.#parts.log.warn({ event: 'outbox_unreadable', error: error.message });
        return 'unreadable' as const;
      })
      .finally(() => {
        this.#sweeping = undefined;
      });
    return this.#sweeping;
  }

  /** Oldest first, until nothing is left that nobody holds. */
  async #publishStored(before: number): Promise<SweepEnd> {
    const { store, publisher } = this.#parts;
    this.#failed.clear();
    if (Date.now() - this.#refusedSince >= REFUSED_AGAIN_MS) {
      this.#refused.clear();
      this.#refusedSince = Date.now();
    }
    while (!this.#closed && publisher.open) {
      const free = await this.#free(before);
      if (free.length === 0) return 'whole';
      for (const record of free) {
        while (!this.#hasRoom() && !this.#closed) await this.#room();
        if (this.#closed || !publisher.open) return 'closed';
        if (this.#held.has(record.taskId)) continue;
        const output = await storedOutput(store, record);
        // Another process has published it since, and it was too old to be kept.
        if (output === undefined && record.outcome.status === 'completed') {
          this.#failed.add(record.taskId);
          continue;
        }
        if (!this.#held.has(record.taskId)) void this.#publish(record, output);
      }
    }
    return 'closed';
  }

  async #free(before: number): Promise<readonly TaskRecord[]> {
    const { store, graceMs } = this.#parts;
    const limit = PAGE + this.#held.size + this.#failed.size + this.#refused.size;
    const isFree = ({ taskId }: TaskRecord) =>
      !this.#held.has(taskId) && !this.#failed.has(taskId) && !this.#refused.has(taskId);
    if (graceMs === 0) return (await store.unpublished(limit)).filter(isFree);
    const left = (await store.unpublished(limit, before)).filter(isFree);
    if (left.length > 0) return left;
    // The clock was set back: what is of the future would wait until then.
    const future = Date.now() + MOST_SKEW_MS;
    const all = await store.unpublished(limit);
    return all.filter((record) => record.finishedAt > future && isFree(record));
  }

  #room(): Promise<void> {
    return new Promise((resolve) => {
      this.#roomy = resolve;
    });
  }

  /** Wakes the sweep, which looks for itself whether there is room. */
  #lookForRoom(): void {
    this.#roomy?.();
    this.#roomy = undefined;
  }

  /** Looks until the event is confirmed: by this process, which announces what it has under way, or by another. */
  async #watch(taskId: string): Promise<void> {
    while (!this.#closed && this.#waiters.has(taskId)) {
      const held = this.#held.get(taskId);
      if (held === 'under way') return;
      const refused = this.#refused.get(taskId);
      if (refused !== undefined) return this.#announce(taskId, refused);
      if (held === 'confirmed' || (await this.#isPublished(taskId))) return this.#announce(taskId);
      await new Promise((resolve) => setTimeout(resolve, WATCH_MS).unref());
    }
  }

  /**
   * Whatever was final and is no longer there was published: nothing else is removed for its age or size. False also
   * when the store is away; it is asked again.
   */
  async #isPublished(taskId: string): Promise<boolean> {
    const { store } = this.#parts;
    try {
      return (await store.isPublished(taskId)) || (await store.find(taskId)) === undefined;
    } catch {
      return false;
    }
  }
}

const WATCH_MS = 250;
