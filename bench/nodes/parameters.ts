/** What the simulation of N nodes is fed with. Where a number comes from is said beside it. */
export interface NodeParameters {
  /** Tiers of a node. */
  readonly tiers: readonly TierParameters[];
  /** Cores of a node, and CPU time of all its threads for one task. */
  readonly cores: number;
  readonly cpuMsPerTask: number;
  /** Messages a second through the broker; a task is three: published, delivered with its ack, and its outcome with confirm. */
  readonly brokerMessagesPerSecond: number;
  readonly brokerLatencyMs: number;
  /** Statements a second that the database commits; a task has this many of them. */
  readonly storeWritesPerSecond: number;
  readonly storeWritesPerTask: number;
  readonly storeLatencyMs: number;
  /** How slow the slow answers of the models are: σ of the log-normal factor. */
  readonly heavyTail: number;
  /** Offered tasks as a share of what the slots of the most wanted tier could execute. */
  readonly load: number;
}

export interface TierParameters {
  readonly name: string;
  readonly slots: number;
  /** Share of all tasks, 0 to 1. */
  readonly share: number;
  /** Median time of the model for one task. */
  readonly modelMs: number;
}

/**
 * Slots are those of the shipped configuration. All else is assumed, not measured: shares that are skewed as a Zipf law
 * of exponent 1.5 gives them, models of seconds, a broker and a database on machines of their own. `npm run bench --
 * execute events nodes` puts what it measures in their place.
 */
export const assumed: NodeParameters = {
  tiers: [
    { name: 'tiny', slots: 10, share: 0.56, modelMs: 1_500 },
    { name: 'small', slots: 5, share: 0.2, modelMs: 2_500 },
    { name: 'large', slots: 2, share: 0.11, modelMs: 4_000 },
    { name: 'coding', slots: 2, share: 0.08, modelMs: 6_000 },
    { name: 'frontier', slots: 1, share: 0.05, modelMs: 8_000 },
  ],
  cores: 2,
  cpuMsPerTask: 2,
  brokerMessagesPerSecond: 15_000,
  brokerLatencyMs: 2,
  storeWritesPerSecond: 8_000,
  // A claim, the outcome with its mark, the end of the mark, the release.
  storeWritesPerTask: 4,
  storeLatencyMs: 3,
  heavyTail: 0.8,
  load: 0.8,
};

/** Tasks a second of one node when the most wanted of its tiers is full. */
export function slotsCapacity({ tiers, heavyTail }: NodeParameters): number {
  const mean = Math.exp(heavyTail ** 2 / 2);
  return Math.min(...tiers.map(({ slots, share, modelMs }) => slots / ((modelMs / 1000) * mean) / share));
}
