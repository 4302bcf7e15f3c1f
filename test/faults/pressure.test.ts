import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { type RabbitServer, startRabbit } from '../../bench/servers/rabbitmq.js';
import { type GatewayStats, onlyTiny } from '../service/at-service.js';
import { tell } from '../tell.js';
import {
  atFaults,
  callsByTask,
  closeAll,
  eventually,
  nothingIsLost,
  type TinyTask,
  tinyTasks,
} from './at-faults.js';

const test = suite('more than can be taken');
let rabbit: RabbitServer;

test.before(async () => {
  rabbit = await startRabbit();
});
test.after.each(closeAll);
test.after(() => rabbit?.close());

const SLOTS = 8;
const CONFIRM_TIMEOUT_MS = 1000;
const BACKLOG = Number(process.env.FAULTS_BACKLOG ?? 2000);

test('a memory alarm stops intake and no HTTP; afterwards all is delivered, and no confirm has timed out', async () => {
  const under = await atFaults(rabbit, {
    yaml: onlyTiny(SLOTS, 60),
    rabbitmq: [`confirm_timeout_ms: ${CONFIRM_TIMEOUT_MS}`],
  });
  await under.knobs({ ttftMs: 100 });
  const tasks = tinyTasks(100);
  await Promise.all(tasks.map((task) => under.orchestrator.ready(task)));
  await under.orchestrator.outcomes(5);
  const byHttp: TinyTask[] = [];
  // The broker tells of the alarm only to those who publish: tasks must be left when its command has taken effect.
  await under.knobs({ ttftMs: 3000 });
  await rabbit.control('set_vm_memory_high_watermark', 'absolute', '1');
  await under.knobs({ ttftMs: 100 });
  try {
    await eventually(() => under.entries('broker_blocked').length > 0, 'the alarm');
    const until = Date.now() + 3 * CONFIRM_TIMEOUT_MS;
    // As long as it takes for confirms to time out, were their clock not stopped; HTTP is served all the while.
    while (Date.now() < until) {
      const [task] = tinyTasks(1);
      assert.equal((await under.execute(task!)).status, 200);
      byHttp.push(task!);
    }
    const calls = await callsByTask(under);
    const begun = tasks.filter(({ task_id }) => calls[task_id] !== undefined).length;
    const said = new Set(under.orchestrator.seen.map(({ event }) => event.data.task_id)).size;
    tell(`alarm: ${begun} tasks begun, ${said} outcomes delivered, ${byHttp.length} by HTTP meanwhile`);
    assert.ok(begun - said <= SLOTS, `${begun} tasks begun, ${said} outcomes delivered`);
  } finally {
    await rabbit.control('set_vm_memory_high_watermark', 'absolute', '1GB');
  }
  await nothingIsLost(under, [...tasks, ...byHttp]);
  assert.deepEqual(under.entries('confirm_timeout'), []);
  assert.deepEqual(under.entries('broker_lost'), []);
});

test(`${BACKLOG} tasks wait at the start and the producer is faster: as many in hand as slots, memory bounded`, async () => {
  const under = await atFaults(rabbit, { yaml: onlyTiny(SLOTS, 60) });
  await under.stop();
  const tasks = tinyTasks(BACKLOG).map((task) => ({ ...task, description: 'Sort a list. '.repeat(100) }));
  await Promise.all(tasks.map((task) => under.orchestrator.ready(task)));
  assert.equal(await under.orchestrator.depth(under.queue('ready.tiny')), BACKLOG);
  const before = process.memoryUsage();
  const peak = { rss: 0, heapUsed: 0 };
  const look = setInterval(() => {
    const { rss, heapUsed } = process.memoryUsage();
    peak.rss = Math.max(peak.rss, rss);
    peak.heapUsed = Math.max(peak.heapUsed, heapUsed);
  }, 50);
  await under.restart();
  await eventually(() => under.connected(), 'connected');
  await under.orchestrator.outcomes(10);
  const consumer = (await rabbit.consumers()).find(({ queue }) => queue === under.queue('ready.tiny'));
  assert.equal(consumer?.prefetch, SLOTS);
  const more = tinyTasks(BACKLOG / 10);
  await Promise.all(more.map((task) => under.orchestrator.ready(task)));
  await nothingIsLost(under, [...tasks, ...more], { limitMs: 120_000 });
  clearInterval(look);
  const mib = (bytes: number) => Math.round(bytes / 2 ** 20);
  tell(
    `backlog of ${BACKLOG}: peak RSS ${mib(peak.rss)} MiB (at the start ${mib(before.rss)}), ` +
      `peak heap ${mib(peak.heapUsed)} MiB (${mib(before.heapUsed)}), the test's own client included`,
  );
  const { maxOpen } = (await under.stats()) as GatewayStats & { maxOpen: number };
  assert.ok(maxOpen <= SLOTS, `${maxOpen} calls at once`);
  assert.ok(peak.rss - before.rss < 400 * 2 ** 20, 'RSS');
});

test.run();
