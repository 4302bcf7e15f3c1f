import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { type RabbitServer, startRabbit } from '../../bench/servers/rabbitmq.js';
import { sleep, tinySlots } from '../service/at-service.js';
import {
  atFaults,
  closeAll,
  eventually,
  type FaultyService,
  nothingIsLost,
  type TinyTask,
  tinyTasks,
} from './at-faults.js';

const test = suite('connections that are closed');
let rabbit: RabbitServer;

test.before(async () => {
  rabbit = await startRabbit();
});
test.after.each(closeAll);
test.after(() => rabbit?.close());

/** The sockets of this process: Node names what keeps it alive. */
function sockets(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;
}

/** How many channels or connections the broker has. */
async function numberOf(all: 'rabbit_channel:list()' | 'rabbit_networking:connections()'): Promise<number> {
  return Number(/\d+/.exec(await rabbit.evaluate(`length(${all}).`))![0]);
}

const channels = () => numberOf('rabbit_channel:list()');

/** Consumers of the service's queues, by queue, without the exclusive one of the cancellations. */
async function consumers({ names }: FaultyService): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { queue } of await rabbit.consumers()) {
    if (!queue.startsWith(`${names.queuePrefix}.`) || queue.includes('.cancelled.')) continue;
    const name = queue.slice(names.queuePrefix.length + 1);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

/** Sends until told to stop. */
function underLoad(under: FaultyService): { stop(): Promise<TinyTask[]> } {
  const sent: TinyTask[] = [];
  let stopped = false;
  const sending = (async () => {
    while (!stopped) {
      const some = tinyTasks(5);
      sent.push(...some);
      await Promise.all(some.map((task) => under.orchestrator.ready(task)));
      await sleep(100);
    }
  })();
  return {
    stop: async () => {
      stopped = true;
      await sending;
      return sent;
    },
  };
}

/** As `rabbitmqctl close_all_connections` does it. */
const closeConnections = (times: number) => `
  [begin
     [catch rabbit_networking:close_connection(Pid, "test") || Pid <- rabbit_networking:connections()],
     timer:sleep(700)
   end || _ <- lists:seq(1, ${times})].`;

/** What a start has opened for a moment has closed, and a consumer too many that opens late is there. */
const SETTLED_MS = 2000;

const oneEach = Object.fromEntries([
  ['cancelled', 1],
  ...['tiny', 'small', 'large', 'coding', 'frontier'].flatMap((tier) => [
    [`ready.${tier}`, 1],
    [`suspect.${tier}`, 1],
  ]),
]);

test('all connections closed twenty times under load: one consumer a queue afterwards, and nothing leaks', async () => {
  const warnings: Error[] = [];
  process.on('warning', (warning) => warnings.push(warning));
  const under = await atFaults(rabbit, { yaml: tinySlots(8, 60) });
  await under.knobs({ ttftMs: 100, jitter: 0.9 });
  await sleep(SETTLED_MS);
  const channelsBefore = await channels();
  const socketsBefore = sockets();
  const load = underLoad(under);
  await rabbit.evaluate(closeConnections(20));
  const lost = () => under.entries('broker_lost').length;
  // Where the machine is slow, some of these found no connection.
  for (let more = 0; more < 10 && lost() < 20; more++) await rabbit.evaluate(closeConnections(1));
  await eventually(() => lost() >= 20, 'both connections, most of the times');
  const tasks = await load.stop();
  await under.orchestrator.outcomes(tasks.length);
  await eventually(
    async () => (await numberOf('rabbit_networking:connections()')) === 3,
    'three connections',
  );
  await eventually(() => under.connected(), 'connected');
  await sleep(SETTLED_MS);
  assert.deepEqual(await consumers(under), oneEach);
  await eventually(async () => (await channels()) <= channelsBefore, `${channelsBefore} channels`);
  await eventually(() => sockets() <= socketsBefore, `${socketsBefore} sockets, not ${sockets()}`);
  assert.deepEqual(warnings, []);
  await nothingIsLost(under, tasks);
});

test.run();
