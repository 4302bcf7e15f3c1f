import { together } from '../latencies.js';
import { assumed, type NodeParameters, slotsCapacity } from '../nodes/parameters.js';
import { type Simulated, simulate } from '../nodes/simulate.js';
import { type Findings, type Metric, metric } from '../result.js';
import type { Bench, Scenario } from '../scenario.js';

/** A discrete-event simulation; nothing of it is measured but what `execute` and `events` found in the same run. */
export const scenario: Scenario = {
  question: 'What limits 10, 100 and 1,000 nodes on one broker and one database? (simulated)',
  rounds: 3,
  seconds: 60,
  run,
};

async function run(bench: Bench): Promise<Findings> {
  const { parameters, notes } = parametersOf(bench);
  const metrics: Metric[] = [];
  const recordings = [];
  for (const [kind, of] of [
    ['', parameters],
    [`, ${MANY} times the slots`, withSlots(parameters, MANY)],
  ] as const) {
    for (const nodes of [10, 100, 1000]) {
      const name = `${nodes} nodes${kind}`;
      bench.tell(name);
      const seconds = Math.min(bench.seconds, MOST_TASKS / (of.load * slotsCapacity(of) * nodes));
      const rounds = Array.from({ length: bench.rounds }, (_, round) =>
        simulate(of, { nodes, seconds, seed: bench.seed + round }),
      );
      metrics.push(...metricsOf(name, rounds));
      recordings.push({
        name,
        latency: together(rounds.map(({ latencies }) => latencies)).distribution(),
        perSecond: [],
      });
    }
  }
  return { metrics, recordings, notes };
}

/** Where more would come, less time is simulated. */
const MOST_TASKS = 200_000;
const MANY = 20;

/** As with models that others run, who set no limit by node. */
function withSlots(parameters: NodeParameters, factor: number): NodeParameters {
  return { ...parameters, tiers: parameters.tiers.map((tier) => ({ ...tier, slots: tier.slots * factor })) };
}

/** What one process was measured to hold takes the place of what is assumed. */
function parametersOf({ measured }: Bench): { parameters: NodeParameters; notes: string[] } {
  const cpuMicros = measured('execute', 'service, one worker: CPU');
  const floorTasks = measured('events', 'floor: tasks');
  const parameters = {
    ...assumed,
    ...(cpuMicros !== undefined && { cpuMsPerTask: cpuMicros / 1000 }),
    ...(floorTasks !== undefined && { brokerMessagesPerSecond: floorTasks * MESSAGES_PER_TASK }),
  };
  const origin = (name: string, value: number, isMeasured: boolean) =>
    `${name}: ${Number(value.toPrecision(3))}, ${isMeasured ? 'measured in this run' : 'assumed'}.`;
  return {
    parameters,
    notes: [
      origin('CPU of a task, ms', parameters.cpuMsPerTask, cpuMicros !== undefined),
      origin('Messages of the broker a second', parameters.brokerMessagesPerSecond, floorTasks !== undefined),
      origin('Statements of the store a second', parameters.storeWritesPerSecond, false),
      'Shares of the tiers, times of the models and the ways between the machines are assumed (bench/nodes/parameters.ts).',
    ],
  };
}

const MESSAGES_PER_TASK = 3;

function metricsOf(name: string, rounds: readonly Simulated[]): Metric[] {
  const of = (what: string, unit: string, value: (round: Simulated) => number, better: Metric['better']) =>
    metric(`${name}: ${what}`, unit, rounds.map(value), { better });
  return [
    of('offered', '1/s', ({ offeredRate }) => offeredRate, 'neither'),
    of(
      'broker and store hold',
      '1/s',
      ({ offeredRate, utilisation: { broker, store } }) => offeredRate / Math.max(broker, store),
      'higher',
    ),
    of('wait for a slot, P95', 'ms', ({ waits }) => waits.at(95), 'lower'),
    of('publish to ack, P95', 'ms', ({ latencies }) => latencies.at(95), 'lower'),
    of('use of the broker', 'ratio', ({ utilisation }) => utilisation.broker, 'lower'),
    of('use of the store', 'ratio', ({ utilisation }) => utilisation.store, 'lower'),
    of('use of the CPU', 'ratio', ({ utilisation }) => utilisation.cpu, 'lower'),
    of('use of the slots most wanted', 'ratio', ({ utilisation }) => utilisation.slots, 'neither'),
    metric(
      `${name}: lost in the simulation`,
      'tasks',
      rounds.map(({ arrived, completed }) => arrived - completed),
      { better: 'lower', aim: { atMost: 0 } },
    ),
  ];
}
