import type { Config } from '../../config/schema.js';
import type { HeldTime, ToWorker, Turn } from '../../contracts/cluster.js';
import { CallMeter } from '../adaptive-limit.js';
import type { Deadline } from '../deadline.js';
import type { Slots } from '../slots.js';
import { TierSlots } from '../tier-slots.js';
import type { Link } from './link.js';

/**
 * The slots of a worker: leased from the primary when somebody waits, kept for the next task, given back when they
 * are asked for or idle for a while. A busy worker sends no message a task.
 */
export class LeasedSlots implements Slots {
  readonly #tiers: ReadonlyMap<string, LeasedTier>;

  constructor(queues: Config['queues'], workers: number, link: Link) {
    this.#tiers = new Map(
      Object.entries(queues).map(([tier, queue]) => {
        const share = { ...queue, max_waiting: Math.ceil(queue.max_waiting / workers) };
        return [tier, new LeasedTier(tier, share, link)];
      }),
    );
    link.on((message) => {
      if (message.kind === 'grant') this.#tiers.get(message.tier)?.granted(message.slots, message.held);
      if (message.kind === 'contended') this.#tiers.get(message.tier)?.contended(message);
      if (message.kind === 'limit') {
        const tier = this.#tiers.get(message.tier);
        if (tier !== undefined) tier.slots.limit = message.limit;
      }
      if (message.kind === 'recall') this.#tiers.get(message.tier)?.recalled(message);
    });
  }

  async acquire(tier: string, deadline: Deadline, from: Turn) {
    return this.#tiers.get(tier)!.slots.acquire(deadline, from);
  }

  usage() {
    return new Map([...this.#tiers].map(([tier, { slots }]) => [tier, slots.usage()]));
  }

  turnaroundMs(tier: string) {
    return this.#tiers.get(tier)!.slots.turnaroundMs;
  }

  observe(tier: string, latencyMs: number | undefined) {
    this.#tiers.get(tier)!.observe(latencyMs);
  }

  close(): void {
    for (const tier of this.#tiers.values()) tier.close();
  }
}

class LeasedTier {
  readonly slots: TierSlots;
  readonly #tier: string;
  readonly #link: Link;
  readonly #meter: CallMeter | undefined;
  /** How many slots the primary knows that this worker wants. */
  #wanted = 0;
  /** How many of them for events. */
  #wantedEvents = 0;
  #received = 0;
  /** How often it told what it wants. */
  #number = 0;
  /** How many slots others want beyond those that were idle when they were recalled. */
  #sought = 0;
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(tier: string, queue: Config['queues'][string], link: Link) {
    this.#tier = tier;
    this.#link = link;
    if (queue.adaptive) this.#meter = new CallMeter();
    this.slots = new TierSlots(queue, {
      short: (waiting) => this.#want(waiting),
      fewer: (waiting) => this.#wantLess(waiting),
      idle: (isOwed, turn) => this.#becameIdle(isOwed, turn),
    });
  }

  granted(slots: number, held: HeldTime | undefined): void {
    this.#received += slots;
    this.#wanted = Math.max(0, this.#wanted - slots);
    // As the primary reckons: HTTP callers first.
    this.#wantedEvents = Math.min(this.#wantedEvents, this.#wanted);
    this.slots.grow(slots);
    // Nobody waits here: what was heard of others is void, as the primary knows.
    if (this.#wanted === 0) this.slots.forget(held);
    else this.slots.learn(held);
    this.#wantWhatWaits();
  }

  contended({ waiting, events, workers, held, number }: Contended): void {
    // It answers what was said before the last time: that will be answered, too, or asks for nothing.
    if (number === undefined || number === this.#number) this.slots.contend(waiting, events, workers, held);
  }

  recalled({ slots, busy, ask }: Recall): void {
    const idle = this.slots.shrink(ask === undefined ? slots : Number.MAX_SAFE_INTEGER);
    this.#sought = Math.max(0, slots - idle);
    // Whoever wants a busy slot waits for its end, and has to know how long that takes.
    if (idle > 0 || ask !== undefined || (busy > 0 && this.slots.hasNews)) this.#give(idle, { ask });
    this.slots.owe(Math.max(0, busy - idle));
  }

  observe(latencyMs: number | undefined): void {
    const window = this.#meter?.add(latencyMs);
    if (window !== undefined) this.#link.send({ kind: 'observed', tier: this.#tier, window });
  }

  close(): void {
    clearTimeout(this.#idleTimer);
  }

  #becameIdle(isOwed: boolean, turn: Turn | undefined): void {
    // One that comes while another is owed pays for it.
    if (isOwed || this.slots.forgive(1) > 0) {
      this.#sought = Math.max(0, this.#sought - this.#giveIdle(1, turn));
      this.#wantWhatWaits();
    } else {
      // Nobody waits here: what the primary was told before is void.
      if (this.#wanted > 0) this.#tell(0);
      if (this.#sought > 0) this.#sought -= this.#giveIdle(this.#sought);
    }
    // It may be one of several that came at once.
    this.#idleTimer ??= setTimeout(() => {
      this.#idleTimer = undefined;
      this.#giveIdle(Number.MAX_SAFE_INTEGER);
    }, IDLE_MS).unref();
  }

  #want(waiting: number): void {
    const http = waiting - this.slots.waitingEvents;
    if (waiting > this.#wanted || http > this.#wanted - this.#wantedEvents) this.#tell(waiting);
    // Of as many the primary knows, and would have granted them slots.
    else this.slots.learn(undefined);
  }

  /**
   * Others reckon with who waits here: they hear of a queue that has halved, and not of each task; and that HTTP callers,
   * for whom they give slots away, wait no more.
   */
  #wantLess(waiting: number): void {
    const halved = this.#wanted >= LONG_QUEUE && waiting <= this.#wanted / 2;
    const onlyEvents = waiting === this.slots.waitingEvents && this.#wanted > this.#wantedEvents;
    if (halved || (onlyEvents && this.slots.isContended)) this.#tell(waiting);
  }

  #wantWhatWaits(): void {
    const { waiting, waitingEvents } = this.slots;
    if (waiting !== this.#wanted || waitingEvents !== this.#wantedEvents) this.#tell(waiting);
  }

  #tell(slots: number): void {
    const events = this.slots.waitingEvents;
    this.#wanted = slots;
    this.#wantedEvents = events;
    if (slots === 0) this.slots.forget();
    const received = this.#received;
    const number = ++this.#number;
    const held = this.slots.news();
    this.#link.send({ kind: 'want', tier: this.#tier, slots, events, received, number, held });
  }

  #giveIdle(most: number, turn?: Turn): number {
    const idle = this.slots.shrink(most);
    if (idle > 0) this.#give(idle, { turn });
    return idle;
  }

  #give(slots: number, about: { turn?: Turn | undefined; ask?: number | undefined }): void {
    this.#link.send({ kind: 'give', tier: this.#tier, slots, held: this.slots.news(), ...about });
  }
}

type Contended = Extract<ToWorker, { kind: 'contended' }>;
type Recall = Extract<ToWorker, { kind: 'recall' }>;

const LONG_QUEUE = 8;
/** A slot that was not used for so long may be of use elsewhere. */
const IDLE_MS = 500;
