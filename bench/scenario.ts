import type { Findings } from './result.js';

/** One file, one question. */
export interface Scenario {
  readonly question: string;
  /** What a run takes when its options do not say otherwise. */
  readonly rounds: number;
  /** Length of a round. */
  readonly seconds: number;
  run(bench: Bench): Promise<Findings>;
}

/** What a scenario is given. */
export interface Bench {
  readonly seed: number;
  readonly rounds: number;
  /** Length of a measured round, in seconds. */
  readonly seconds: number;
  /** Whether the length was asked for, so that what counts in tasks is to be cut to it. */
  readonly isShortened: boolean;
  /** A directory of its own, removed after the scenario. */
  readonly directory: string;
  /** What an earlier scenario of the same run found. */
  measured(scenario: string, metric: string): number | undefined;
  /** Says how far it is. */
  tell(text: string): void;
}
