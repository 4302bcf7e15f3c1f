import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { type PostgresServer, startPostgres } from '../../bench/servers/postgres.js';
import { childrenOf } from '../../bench/servers/processes.js';
import { type RabbitServer, startRabbit } from '../../bench/servers/rabbitmq.js';
import { randomOf } from '../../bench/simulators/random.js';
import { terminalEventId } from '../../server/events/outcome-event.js';
import { aTinyTask, queuesAreEmpty } from '../events/at-broker.js';
import { aSteadyOrchestrator, type SteadyOrchestrator } from '../faults/at-faults.js';
import { atNodes, type NodesUnderTest, type ServiceNode } from '../faults/at-nodes.js';
import { onlyTiny, sleep } from '../service/at-service.js';
import { tell } from '../tell.js';
import { effort, seed } from './effort.js';

/** Faults in an order that nobody thought of, one after the other, while two nodes of two workers are at work. */
const test = suite(`random faults, seed ${seed}`);
const FAULTS_MS = 30_000 * effort;
const TASKS_PER_SECOND = 20;

const random = randomOf(seed, 0);
const below = (limit: number) => Math.floor(random() * limit);
let rabbit: RabbitServer;
let postgres: PostgresServer;
let under: NodesUnderTest;
let orchestrator: SteadyOrchestrator;
const nodes: ServiceNode[] = [];

test.before(async () => {
  [rabbit, postgres] = await Promise.all([startRabbit(), startPostgres()]);
  under = await atNodes(rabbit, {
    yaml: `${onlyTiny(10, 30)}\nstore: {lease_ms: 2000}`,
    rabbitmq: ['reconnect_max_ms: 500'],
    databaseUrl: postgres.url,
  });
  // The other one would not live through an outage of the broker, and takes its share of the outcomes until then.
  await under.orchestrator.unsubscribe();
  orchestrator = await aSteadyOrchestrator(rabbit.url, under.names);
  await under.knobs({ ttftMs: 100, chunks: 10 });
  nodes.push(...(await Promise.all([startNode(), startNode()])));
});
test.after(async () => {
  await orchestrator.close();
  await under.close();
  await rabbit?.close();
  await postgres.close();
});

test('every task has one outcome, under one id, and nothing is left', async () => {
  const taskIds: string[] = [];
  const confirmed: Promise<void>[] = [];
  const timer = setInterval(() => {
    const task = aTinyTask();
    taskIds.push(task.task_id);
    // Some are sent three times, as by an orchestrator that is not sure.
    for (let copies = below(5) === 0 ? 3 : 1; copies > 0; copies--) confirmed.push(orchestrator.ready(task));
  }, 1000 / TASKS_PER_SECOND);
  const drawn: Record<string, number> = {};
  try {
    for (const until = Date.now() + FAULTS_MS; Date.now() < until; await sleep(200 + below(1500))) {
      const [name, fault] = faults[below(faults.length)]!;
      drawn[name] = (drawn[name] ?? 0) + 1;
      await fault();
    }
  } finally {
    clearInterval(timer);
  }
  await Promise.all(confirmed);
  await orchestrator.outcomes(taskIds.length, 90_000);
  await queuesAreEmpty(rabbit, under);
  const ids = new Set(orchestrator.seen.map(({ event }) => event.id as string));
  const calls = Object.values((await under.stats()).byTask).reduce((sum, each) => sum + each, 0);
  tell(drawn, {
    tasks: taskIds.length,
    messages: confirmed.length,
    outcomes: orchestrator.seen.length,
    distinctIds: ids.size,
    modelCalls: calls,
  });
  assert.deepEqual([...ids].sort(), taskIds.map((id) => terminalEventId(id)).sort());
  assert.deepEqual(
    orchestrator.seen.filter(({ event }) => event.type !== 'dats.task.output.created'),
    [],
  );
});

test.run();

function startNode(): Promise<ServiceNode> {
  return under.start({ env: { WORKERS: '2' } });
}

const faults: [string, () => Promise<unknown>][] = [
  ['a worker is killed', async () => signal(aWorker(), 'SIGKILL')],
  ['a worker stands still', () => standStill(aWorker())],
  ['a node is killed', () => replaceNode((node) => node.kill())],
  ['a node is restarted', () => replaceNode(async (node) => assert.equal(await node.stop(), 0))],
  ['a node is reloaded', async () => process.kill(nodes[below(2)]!.pid, 'SIGHUP')],
  ['all connections are closed', () => rabbit.control('close_all_connections', 'fault')],
  ['the broker is killed', () => outage(rabbit, () => rabbit.kill())],
  ['the broker is restarted', () => outage(rabbit, () => rabbit.stop())],
  ['the database is killed', () => outage(postgres, () => postgres.kill())],
];

/** One of those that are there now; it may be just starting, or on its way out. */
function aWorker(): number | undefined {
  const workers = nodes.flatMap(({ pid }) => childrenOf(pid));
  return workers[below(workers.length)];
}

function signal(pid: number | undefined, name: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function standStill(pid: number | undefined): Promise<void> {
  signal(pid, 'SIGSTOP');
  await sleep(below(4000)); // longer than a lease
  signal(pid, 'SIGCONT');
}

async function replaceNode(end: (node: ServiceNode) => Promise<unknown>): Promise<void> {
  const index = below(2);
  await end(nodes[index]!);
  await sleep(below(1000));
  nodes[index] = await startNode();
}

async function outage(server: { start(): Promise<void> }, end: () => Promise<void>): Promise<void> {
  await end();
  await sleep(below(2000));
  await server.start();
}
