import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { type RabbitServer, startRabbit } from '../../bench/servers/rabbitmq.js';
import { anOrchestrator, freshNames } from '../events/at-broker.js';
import { tell } from '../tell.js';
import {
  aSteadyOrchestrator,
  atFaults,
  closeAll,
  eventually,
  nothingIsLost,
  type TinyTask,
  tinyTasks,
} from './at-faults.js';

const test = suite('a broker that goes away');
let rabbit: RabbitServer;

test.before(async () => {
  rabbit = await startRabbit();
});
test.after.each(closeAll);
test.after(() => rabbit?.close());

const OUTAGE_MS = Number(process.env.FAULTS_OUTAGE_MS ?? 10_000);

test('SIGKILL of the broker with tasks running and confirms pending loses nothing, and HTTP answers meanwhile', async () => {
  const under = await atFaults(rabbit);
  await under.knobs({ ttftMs: 100, jitter: 0.9 });
  const tasks = tinyTasks(300);
  const byHttp = tinyTasks(20);
  const sending = Promise.all(tasks.map((task) => under.orchestrator.ready(task)));
  await under.orchestrator.outcomes(20);
  await rabbit.kill();
  for (const task of byHttp) assert.equal((await under.execute(task)).status, 200);
  await rabbit.start();
  await sending;
  await nothingIsLost(under, [...tasks, ...byHttp]);
});

test('a broker that is down at the start does not keep HTTP from serving; when it comes, all is delivered', async () => {
  const names = freshNames();
  const orchestrator = await aSteadyOrchestrator(rabbit.url, names);
  await rabbit.stop();
  const under = await atFaults(rabbit, { names, orchestrator, wait: false });
  const byHttp = tinyTasks(5);
  for (const task of byHttp) assert.equal((await under.execute(task)).status, 200);
  assert.equal(await under.connected(), false);
  assert.equal((await under.ask('GET', '/health/ready')).status, 200);
  await rabbit.start();
  await eventually(() => under.connected(), 'connected');
  const tasks = tinyTasks(20);
  for (const task of tasks) await under.orchestrator.ready(task);
  await nothingIsLost(under, [...byHttp, ...tasks]);
});

test('a task that comes after its cancellation, and after a restart of the broker, is not executed', async () => {
  const under = await atFaults(rabbit);
  await under.stop();
  const [unwanted] = tinyTasks(1);
  const { task_id } = unwanted!;
  const sender = await anOrchestrator(rabbit.url, under.names);
  try {
    await sender.publish('task.cancelled', Buffer.from(JSON.stringify({ task_id, reason: 'superseded' })));
  } finally {
    await sender.close();
  }
  await rabbit.stop();
  await rabbit.start();
  await under.orchestrator.ready(unwanted!);
  await under.restart();
  await under.orchestrator.outcomes(1);
  assert.deepEqual(
    under.orchestrator.seen.map(({ event }) => event.data.code),
    ['cancelled'],
  );
  assert.equal((await under.stats()).calls, 0);
});

test('HTTP traffic through an outage of the broker is published afterwards, from a bounded memory', async () => {
  const under = await atFaults(rabbit);
  await rabbit.stop();
  const done: TinyTask[] = [];
  const until = Date.now() + OUTAGE_MS;
  const before = process.memoryUsage();
  let peak = before;
  const callers = Array.from({ length: 8 }, async () => {
    // More than the outbox may have under way at once, whatever the machine's pace.
    while (Date.now() < until || done.length < 1500) {
      const [task] = tinyTasks(1);
      assert.equal((await under.execute(task!)).status, 200);
      done.push(task!);
      const now = process.memoryUsage();
      if (now.rss > peak.rss) peak = now;
    }
  });
  await Promise.all(callers);
  const grown = (peak.rss - before.rss) / 2 ** 20;
  tell(
    `outage: ${done.length} outcomes waited, RSS grew by ${grown.toFixed(0)} MiB to ${(peak.rss / 2 ** 20).toFixed(0)} MiB`,
  );
  assert.ok(grown < 300, `RSS grew by ${grown} MiB`);
  await rabbit.start();
  await nothingIsLost(under, done);
});

test.run();
