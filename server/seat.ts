import type { WorkerSeat } from '../contracts/cluster.js';
import type { Link } from './cluster/link.js';

/** The place of this process on a node of several. */
export interface Seat extends WorkerSeat {
  readonly link: Link;
}
