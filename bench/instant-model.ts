import { closedLoop, type Round } from './closed-loop.js';
import type { BenchProcess } from './processes.js';
import { startSimulators } from './simulators/start.js';
import { shortAnswer, type TaskChoice, taskMaker } from './tasks.js';

/** The model of short tasks: it answers at once, in 20 chunks. */
export function startInstantModel(kinds: readonly ('gateway' | 'rag')[] = ['gateway']) {
  return startSimulators({ kinds: [...kinds], knobs: { gateway: { chunks: 20, output: shortAnswer } } });
}

/** How many callers most loads of short tasks have. */
export const CALLERS = 64;
/** A tier that holds as many tasks as there are callers. */
export const CALLERS_CONFIGURATION = `queues: {small: {concurrency: ${CALLERS}, timeout: 120}}\n`;

/** A round of short tasks for so many seconds, by callers of whom each waits for its answer. */
export function shortTasks(
  server: BenchProcess,
  {
    seed,
    prefix,
    connections,
    choice,
  }: {
    readonly seed: number;
    readonly prefix: string;
    readonly connections: number;
    readonly choice?: TaskChoice;
  },
): (seconds: number) => Promise<Round> {
  const next = taskMaker(seed, prefix, choice);
  const body = () => JSON.stringify(next().data);
  return (seconds) => closedLoop(server, { connections, seconds, path: '/execute', body });
}
