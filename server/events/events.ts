import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Config } from '../../config/schema.js';
import type { TraceContext } from '../../contracts/trace-context.js';
import type { Pools } from '../../pool/pools.js';
import type { Log } from '../log.js';
import type { ResolvedTask } from '../resolution.js';
import type { ArtifactStore } from '../store/store.js';
import type { Tasks } from '../tasks.js';
import { type Acceptance, acceptTask } from './acceptance.js';
import type { BrokerState } from './connection.js';
import { openConsumer } from './consumer.js';
import { openOutbox } from './outbox.js';
import { openPublisher } from './publisher.js';
import { namesOf, topologyOf } from './topology.js';

/** The service's side of the broker. */
export interface Events {
  /** Hands a task to the broker; see acceptTask. */
  accept(resolved: ResolvedTask, data: Uint8Array, trace: TraceContext | undefined): Promise<Acceptance>;
  /** Events on their way to the broker. */
  readonly underWay: number;
  /** Of the worse of the two connections. */
  state(): BrokerState;
  /** Takes no more messages; those in hand go on. */
  stopIntake(): Promise<void>;
  /** Publishes what the broker still takes, answers what is in hand, and closes. */
  close(): Promise<void>;
}

export interface EventsParts {
  readonly config: Config;
  readonly pools: Pools;
  readonly tasks: Tasks;
  readonly store: ArtifactStore;
  readonly log: Log;
  /** Whether other processes publish from the same store. */
  readonly sharedStore: boolean;
  /** Processes of the node that consume. */
  readonly processes: number;
  isClosing(): boolean;
}

/** Connects in the background: the service serves HTTP while the broker is away. */
export async function openEvents(parts: EventsParts): Promise<Events> {
  const { config, store, tasks, log } = parts;
  const { rabbitmq } = config;
  const names = namesOf(rabbitmq);
  const topology = topologyOf(config);
  const name = `worker-service ${hostname()} ${process.pid} ${randomUUID().slice(0, 8)}`;
  const publisher = await openPublisher({ rabbitmq, topology, name: `${name} publish`, log });
  const graceMs = parts.sharedStore ? SHARED_GRACE_MS : 0;
  const outbox = openOutbox({ store, publisher, names, log, graceMs });
  tasks.onFinal = (record, output) => outbox.offer(record, output);
  const consumer = await openConsumer({
    parts: { ...parts, outbox, publisher, names },
    processes: parts.processes,
    topology,
    name,
  });
  return {
    accept: (resolved, data, trace) =>
      acceptTask({ config, tasks, store, publisher, names }, resolved, data, trace),
    get underWay() {
      return outbox.underWay;
    },
    state: () => {
      const states = [publisher.state(), consumer.state()];
      return states.find(({ ok }) => !ok) ?? states[0]!;
    },
    stopIntake: () => consumer.stopIntake(),
    close: async () => {
      await outbox.drain(DRAIN_MS);
      await consumer.close(ANSWERS_MS);
      outbox.close();
      await publisher.close();
    },
  };
}

const SHARED_GRACE_MS = 3000;
const DRAIN_MS = 5000;
const ANSWERS_MS = 1000;
