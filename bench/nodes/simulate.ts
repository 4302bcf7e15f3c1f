import { Latencies } from '../latencies.js';
import { logNormal, randomOf } from '../simulators/random.js';
import { type NodeParameters, slotsCapacity, type TierParameters } from './parameters.js';
import { Schedule } from './schedule.js';

export interface Simulated {
  readonly arrived: number;
  readonly completed: number;
  readonly offeredRate: number;
  /** From publish to ack. */
  readonly latencies: Latencies;
  /** In the queue of the tier. */
  readonly waits: Latencies;
  /** Most tasks of a tier that were executed at once, by tier. */
  readonly mostRunning: ReadonlyMap<string, number>;
  /** Share of the time that they worked while tasks arrived; above 1, work piled up. */
  readonly utilisation: {
    readonly broker: number;
    readonly store: number;
    readonly cpu: number;
    readonly slots: number;
  };
}

/**
 * N nodes on one broker and one database, as a discrete-event simulation: tasks arrive as a Poisson process, wait in
 * the queue of their tier, and go to the node that has had a free slot of it for longest. Broker, store and the CPU of
 * a node serve one after the other. The same for the same seed.
 */
export function simulate(
  parameters: NodeParameters,
  options: { readonly nodes: number; readonly seconds: number; readonly seed: number },
): Simulated {
  const { nodes: count, seconds, seed } = options;
  const schedule = new Schedule();
  const random = randomOf(seed, count);
  const broker = server(schedule, 1000 / parameters.brokerMessagesPerSecond, parameters.brokerLatencyMs);
  const store = server(schedule, 1000 / parameters.storeWritesPerSecond, parameters.storeLatencyMs);
  const nodes = Array.from({ length: count }, () =>
    server(schedule, parameters.cpuMsPerTask / 2 / parameters.cores, 0),
  );
  const tiers = parameters.tiers.map((tier) => openTier(tier, nodes));
  const [latencies, waits] = [new Latencies(), new Latencies()];
  const endMs = seconds * 1000;
  let [arrived, completed] = [0, 0];

  const arrive = () => {
    arrived++;
    const tier = pick(tiers, random());
    const task = { at: schedule.now, queuedAt: 0 };
    broker.serve(1, () => {
      task.queuedAt = schedule.now;
      tier.queue.push(task);
      dispatch(tier);
    });
  };
  const dispatch = (tier: Tier) => {
    while (tier.queue.length > 0 && tier.free.length > 0) {
      const task = tier.queue.shift();
      const node = tier.free.shift();
      tier.running++;
      tier.mostRunning = Math.max(tier.mostRunning, tier.running);
      waits.record(schedule.now - task.queuedAt);
      const takenAt = schedule.now;
      broker.serve(1, () => execute(task, node, tier, takenAt));
    }
  };
  const execute = (task: Task, node: Server, tier: Tier, takenAt: number) => {
    const { storeWritesPerTask } = parameters;
    store.serve(1, () =>
      node.serve(1, () =>
        schedule.after(tier.modelMs * logNormal(random, parameters.heavyTail), () =>
          node.serve(1, () =>
            store.serve(storeWritesPerTask - 1, () =>
              broker.serve(1, () => {
                completed++;
                latencies.record(schedule.now - task.at);
                tier.busyMs += Math.max(0, Math.min(endMs, schedule.now) - Math.min(endMs, takenAt));
                tier.running--;
                tier.free.push(node);
                dispatch(tier);
              }),
            ),
          ),
        ),
      ),
    );
  };

  const offeredRate = parameters.load * slotsCapacity(parameters) * count;
  const nextArrival = () => {
    const gap = (-Math.log(1 - random()) / offeredRate) * 1000;
    if (schedule.now + gap > endMs) return;
    schedule.after(gap, () => {
      arrive();
      nextArrival();
    });
  };
  nextArrival();
  schedule.run();
  const busiestTier = Math.max(...tiers.map(({ busyMs, slots }) => busyMs / (slots * count * endMs)));
  return {
    arrived,
    completed,
    offeredRate,
    latencies,
    waits,
    mostRunning: new Map(tiers.map(({ name, mostRunning }) => [name, mostRunning])),
    utilisation: {
      broker: broker.busyMs() / endMs,
      store: store.busyMs() / endMs,
      cpu: nodes.reduce((sum, node) => sum + node.busyMs(), 0) / count / endMs,
      slots: busiestTier,
    },
  };
}

interface Task {
  readonly at: number;
  queuedAt: number;
}

interface Tier extends TierParameters {
  readonly queue: Queue<Task>;
  /** A node for each of its free slots, the one that waits for longest first. */
  readonly free: Queue<Server>;
  running: number;
  mostRunning: number;
  busyMs: number;
}

function openTier(tier: TierParameters, nodes: readonly Server[]): Tier {
  const free = new Queue<Server>();
  // Round by round, as the broker hands out what it has.
  for (let slot = 0; slot < tier.slots; slot++) for (const node of nodes) free.push(node);
  return { ...tier, queue: new Queue(), free, running: 0, mostRunning: 0, busyMs: 0 };
}

/** By the shares, which need not sum up to one. */
function pick(tiers: readonly Tier[], at: number): Tier {
  let left = at * tiers.reduce((sum, { share }) => sum + share, 0);
  for (const tier of tiers) {
    left -= tier.share;
    if (left < 0) return tier;
  }
  return tiers.at(-1)!;
}

/** Serves in the order of arrival. */
interface Server {
  /** @param then is called when so many units of work are done, and after the way there and back. */
  serve(units: number, then: () => void): void;
  /** All the work that it was given. */
  busyMs(): number;
}

function server(schedule: Schedule, msPerUnit: number, latencyMs: number): Server {
  let freeAt = 0;
  let busyMs = 0;
  return {
    serve(units, then) {
      busyMs += units * msPerUnit;
      freeAt = Math.max(freeAt, schedule.now) + units * msPerUnit;
      schedule.after(freeAt - schedule.now + latencyMs, then);
    },
    busyMs: () => busyMs,
  };
}

/** First in, first out. */
class Queue<Entry> {
  #entries: Entry[] = [];
  #first = 0;

  get length(): number {
    return this.#entries.length - this.#first;
  }

  push(entry: Entry): void {
    this.#entries.push(entry);
  }

  /** Not when it is empty. */
  shift(): Entry {
    const entry = this.#entries[this.#first++]!;
    if (this.#first * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#first);
      this.#first = 0;
    }
    return entry;
  }
}
