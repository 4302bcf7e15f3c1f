import { CALLERS, CALLERS_CONFIGURATION, shortTasks, startInstantModel } from '../instant-model.js';
import { readMeter } from '../meter.js';
import type { MeterReading } from '../metered-service.js';
import { type BenchProcess, serviceEnvironment, startProcess } from '../processes.js';
import { type Findings, metric } from '../result.js';
import type { Bench, Scenario } from '../scenario.js';

/** With `--seconds N` there are ten loads of N seconds in place of the tasks. */
export const scenario: Scenario = {
  question: 'Do memory, handles or listeners grow in the course of 200,000 short tasks?',
  rounds: 1,
  seconds: 5,
  run,
};

async function run(bench: Bench): Promise<Findings> {
  const simulators = await startInstantModel();
  const service = await startProcess(
    'metered-service.js',
    [],
    serviceEnvironment(bench.directory, simulators.gatewayUrl!, CALLERS_CONFIGURATION),
  );
  const load = shortTasks(service, { seed: bench.seed, prefix: 'soak', connections: CALLERS });
  try {
    let [answered, failed, loads] = [0, 0, 0];
    let early: State | undefined;
    const perSecond: number[] = [];
    const isOver = () => (bench.isShortened ? loads >= SHORT_LOADS : answered >= TASKS);
    const isEarly = () => (bench.isShortened ? loads >= 1 : answered >= EARLY_TASKS);
    while (!isOver()) {
      const round = await load(bench.seconds);
      if (round.answered === 0) throw new Error('the service answers no task');
      loads++;
      answered += round.answered;
      failed += round.failed;
      perSecond.push(...round.perSecond);
      if (early === undefined && isEarly()) {
        early = await settled(service, answered);
        bench.tell(`${answered} tasks: ${megabytes(early.resident)} MB`);
      }
    }
    return findings(early!, await settled(service, answered), failed, perSecond);
  } finally {
    await service.close();
    await simulators.close();
  }
}

interface State extends MeterReading {
  readonly tasks: number;
  readonly resident: number;
  readonly anonymous: number;
}

const TASKS = 200_000;
const EARLY_TASKS = 20_000;
const SHORT_LOADS = 10;

/** When the connections to the gateway that nobody uses have been closed. */
async function settled(service: BenchProcess, tasks: number): Promise<State> {
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  return { tasks, ...(await readMeter(service)), ...service.memory() };
}

const SETTLE_MS = 6000;

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}

function findings(early: State, end: State, failed: number, perSecond: readonly number[]): Findings {
  const grown = (name: string, of: (state: State) => number) =>
    metric(`growth of ${name}`, name, [of(end) - of(early)], { better: 'lower', aim: { atMost: 0 } });
  return {
    metrics: [
      metric('resident memory, end to early', 'ratio', [end.resident / early.resident], {
        better: 'lower',
        aim: { atMost: 1.2 },
      }),
      metric('anonymous memory, end to early', 'ratio', [end.anonymous / early.anonymous], {
        better: 'lower',
      }),
      metric('resident memory, early', 'MB', [early.resident / 1e6], { better: 'lower' }),
      metric('resident memory, end', 'MB', [end.resident / 1e6], { better: 'lower' }),
      grown('handles', ({ handles }) => handles),
      grown('listeners', ({ listeners }) => listeners),
      grown('warnings', ({ warnings }) => warnings),
      metric(
        'collections of the whole heap',
        'per 1000 tasks',
        [((end.fullCollections - early.fullCollections) / (end.tasks - early.tasks)) * 1000],
        { better: 'lower', aim: { atMost: 0.25 } },
      ),
      metric('tasks', 'tasks', [end.tasks]),
      metric('failed', 'answers', [failed], { better: 'lower', aim: { atMost: 0 } }),
    ],
    recordings: [{ name: 'service', perSecond: [perSecond] }],
    notes: [
      `Early is after ${early.tasks} tasks, the end after ${end.tasks}; both ${SETTLE_MS / 1000} s after the last answer. Resident memory has the mapped pages of the store in it, anonymous memory has not.`,
    ],
  };
}
