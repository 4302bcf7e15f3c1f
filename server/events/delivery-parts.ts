import type { ConsumeMessage } from 'amqplib';
import type { Config } from '../../config/schema.js';
import type { Pools } from '../../pool/pools.js';
import type { Log } from '../log.js';
import type { ArtifactStore } from '../store/store.js';
import type { Tasks } from '../tasks.js';
import type { Outbox } from './outbox.js';
import type { Publisher } from './publisher.js';
import type { Names } from './topology.js';

/** What becomes of a message; the consumer alone acts on it. */
export type DeliveryVerdict = 'ack' | 'requeue';

/** What handling a message needs of the service. */
export interface DeliveryParts {
  readonly config: Config;
  readonly pools: Pools;
  readonly tasks: Tasks;
  readonly store: ArtifactStore;
  readonly outbox: Outbox;
  readonly publisher: Publisher;
  readonly names: Names;
  readonly log: Log;
  isClosing(): boolean;
}

/** A message of a tier that the broker has handed over. */
export interface Delivery {
  readonly tier: string;
  /** From the queue of those that came back once too often. */
  readonly suspect: boolean;
  readonly message: ConsumeMessage;
}
