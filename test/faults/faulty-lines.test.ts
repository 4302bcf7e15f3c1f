import assert from 'node:assert/strict';
import { connect } from 'amqplib';
import { suite } from 'uvu';
import { urlThrough } from '../events/at-broker.js';
import { type FaultProxy, startProxy } from '../servers/proxy.js';
import { tinySlots } from '../service/at-service.js';
import { type SharedRabbit, sharedRabbit } from '../shared-rabbit.js';
import { atFaults, closeAll, eventually, type FaultyService, nothingIsLost, tinyTasks } from './at-faults.js';

const test = suite('lines that stand still, are slow, or break again and again');
let rabbit: SharedRabbit;
let proxy: FaultProxy;

test.before(async () => {
  rabbit = await sharedRabbit();
  proxy = await startProxy(rabbit.port);
});
test.after.each(closeAll);
test.after(async () => {
  await proxy.close();
  await rabbit?.close();
});

function throughProxy(rabbitmq: readonly string[] = [], yaml?: string): Promise<FaultyService> {
  return atFaults(rabbit, { serviceUrl: urlThrough(proxy), rabbitmq, ...(yaml !== undefined && { yaml }) });
}

async function sendTo(under: FaultyService, count: number) {
  const tasks = tinyTasks(count);
  await Promise.all(tasks.map((task) => under.orchestrator.ready(task)));
  return tasks;
}

test('connections lost over and over do not wear out the message of a task that runs', async () => {
  const under = await throughProxy(['delivery_limit: 1']);
  await under.knobs({ ttftMs: 15_000 });
  const tasks = await sendTo(under, 1);
  await eventually(async () => (await under.stats()).open === 1, 'the call');
  for (let lost = 0; under.entries('message_renewed').length === 0; lost++) {
    assert.ok(lost < 17, 'the limit has passed');
    const connects = under.entries('broker_connected').length;
    proxy.cut();
    await eventually(() => under.entries('broker_connected').length >= connects + 2, 'both connected again');
  }
  await nothingIsLost(under, tasks);
});

test('a frozen line is found by the heartbeat; what ran on it is answered on the next one', async () => {
  const under = await throughProxy(['heartbeat_seconds: 1', 'connect_timeout_ms: 500']);
  await under.knobs({ ttftMs: 300 });
  const tasks = await sendTo(under, 40);
  await under.orchestrator.outcomes(4);
  proxy.freeze();
  await eventually(async () => !(await under.connected()), 'the loss is seen');
  const [byHttp] = tinyTasks(1);
  assert.equal((await under.execute(byHttp!)).status, 200);
  await eventually(() => under.entries('broker_unreachable').length > 1, 'attempts through the frozen line');
  proxy.thaw();
  await nothingIsLost(under, [...tasks, byHttp!]);
});

test('who hears of a task hears of its cancellation, however slowly his consumers open', async () => {
  // With the queues of all tiers, which are opened one after the other.
  const under = await throughProxy([], tinySlots(8, 60));
  await under.knobs({ ttftMs: 60_000 });
  proxy.delay(20);
  proxy.cut();
  await sendTo(under, 1);
  await eventually(async () => (await under.stats()).open === 1, 'the call');
  const [task_id] = Object.keys((await under.stats()).byTask);
  const model = await connect(rabbit.url);
  const channel = await model.createConfirmChannel();
  channel.publish(under.names.exchange, 'task.cancelled', Buffer.from(JSON.stringify({ task_id })));
  await channel.waitForConfirms();
  await model.close();
  await under.orchestrator.outcomes(1);
  proxy.delay(0);
  assert.equal(under.orchestrator.seen[0]!.event.data.code, 'cancelled');
});

test('a connection that the broker still believes in does not keep the next one from being set up', async () => {
  const under = await throughProxy(['heartbeat_seconds: 4']);
  proxy.orphan();
  await eventually(() => under.entries('broker_lost').length === 2, 'both connections lost');
  await eventually(() => under.connected(), 'connected');
  assert.deepEqual(
    under.entries('broker_unreachable').map(({ error }) => error),
    [],
  );
  const tasks = await sendTo(under, 5);
  await nothingIsLost(under, tasks);
});

/** Class 20, method 41. */
const CHANNEL_CLOSE_OK = Buffer.from([0, 20, 0, 41]);

test('a frozen line does not hold up the stop until its heartbeat is missed', async () => {
  const under = await throughProxy(['heartbeat_seconds: 600']);
  proxy.freeze();
  let isOver = false;
  void under.stop().then(() => {
    isOver = true;
  });
  try {
    await eventually(() => isOver, 'the end of the stop', 60_000);
  } finally {
    proxy.thaw();
  }
});

test('a line that freezes while the service connects does not keep it from connecting later', async () => {
  const under = await throughProxy(['heartbeat_seconds: 1', 'connect_timeout_ms: 500']);
  // In the middle of the declarations, and where the client waits for the end of a channel.
  let closings = 0;
  void proxy.swallow((data) => {
    if (data.includes(CHANNEL_CLOSE_OK) && ++closings === 5) proxy.freeze();
    return false;
  });
  proxy.cut();
  await eventually(() => closings >= 5, 'the freeze');
  await eventually(
    () => new Set(under.entries('broker_unreachable').map(({ connection }) => connection)).size === 2,
    'both attempts are given up',
  );
  proxy.thaw();
  await eventually(() => under.connected(), 'connected');
  const tasks = await sendTo(under, 10);
  await nothingIsLost(under, tasks);
});

test('half-closed and slow lines lose nothing', async () => {
  const under = await throughProxy();
  await under.knobs({ ttftMs: 100 });
  const first = await sendTo(under, 30);
  await under.orchestrator.outcomes(3);
  proxy.halfClose();
  await eventually(() => under.entries('broker_lost').length === 2, 'both connections lost');
  await eventually(() => under.connected(), 'connected');
  proxy.delay(40);
  const second = await sendTo(under, 20);
  proxy.cut();
  await under.orchestrator.outcomes(50);
  await eventually(() => under.connected(), 'connected through the slow line');
  proxy.delay(0);
  await nothingIsLost(under, [...first, ...second]);
});

test.run();
