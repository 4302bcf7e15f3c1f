import type { Bench } from './scenario.js';

/**
 * Lets the contestants take turns: one warm-up each, then the rounds. Every other round goes backwards, so that a
 * machine that becomes slower or faster in the course of the run favours nobody.
 */
export async function takeTurns<Name extends string, Round>(
  bench: Pick<Bench, 'rounds' | 'seconds' | 'tell'>,
  contestants: Readonly<Record<Name, (seconds: number) => Promise<Round>>>,
): Promise<Record<Name, Round[]>> {
  const names = Object.keys(contestants) as Name[];
  const rounds = Object.fromEntries(names.map((name) => [name, [] as Round[]])) as Record<Name, Round[]>;
  for (const name of names) await contestants[name](Math.min(WARM_UP_SECONDS, bench.seconds));
  for (let round = 0; round < bench.rounds; round++) {
    bench.tell(`round ${round + 1} of ${bench.rounds}`);
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      rounds[name].push(await contestants[name](bench.seconds));
    }
  }
  return rounds;
}

/** Round by round, the one divided by the other. */
export function ratios(of: readonly number[], to: readonly number[]): number[] {
  return of.map((value, round) => value / to[round]!);
}

const WARM_UP_SECONDS = 4;
