import type { Config } from '../../config/schema.js';
import type { LogLevel } from '../../contracts/cluster.js';
import type { Pools } from '../../pool/pools.js';
import type { Events } from '../events/events.js';
import type { Health } from '../health.js';
import type { Leases } from '../leases.js';
import type { Log } from '../log.js';
import type { Metrics } from '../metrics.js';
import type { Slots } from '../slots.js';
import type { ArtifactStore } from '../store/store.js';
import type { Tasks } from '../tasks.js';
import type { Tokens } from '../tokens/tokens.js';
import type { Unfinished } from './unfinished.js';

/** What the HTTP edge needs of the service. */
export interface HttpParts {
  /** Port to listen on; 0 is any free one. */
  readonly port: number;
  readonly config: Config;
  readonly pools: Pools;
  readonly tasks: Tasks;
  readonly slots: Slots;
  readonly store: ArtifactStore;
  readonly leases: Leases;
  /** Undefined when no broker is configured. */
  readonly events: Events | undefined;
  readonly health: Health;
  readonly metrics: Pick<Metrics, 'answered'>;
  /** The metrics of the node, in the Prometheus text format. */
  readonly metricsText: () => Promise<string>;
  /** The node as it is now, for who watches. */
  readonly snapshot: () => Promise<object>;
  readonly log: Log;
  readonly unfinished: Unfinished;
  /** Undefined when no token is asked for. */
  readonly tokens: Tokens | undefined;
  /** In all processes of the node. */
  setLogLevel(level: LogLevel): void;
  isClosing(): boolean;
  /** Whether each connection is to be closed with its next answer. */
  isLeaving(): boolean;
}
