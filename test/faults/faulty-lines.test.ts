import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { type FaultProxy, startProxy } from '../servers/proxy.js';
import { type RabbitServer, startRabbit } from '../servers/rabbitmq.js';
import { atFaults, closeAll, eventually, type FaultyService, nothingIsLost, tinyTasks } from './at-faults.js';

const test = suite('lines that break in the middle');
let rabbit: RabbitServer;
let proxy: FaultProxy;

test.before(async () => {
  rabbit = await startRabbit();
  proxy = await startProxy(rabbit.port);
});
test.after.each(closeAll);
test.after(async () => {
  await proxy.close();
  await rabbit.close();
});

function throughProxy(rabbitmq: readonly string[] = []): Promise<FaultyService> {
  return atFaults(rabbit, { serviceUrl: `amqp://guest:guest@127.0.0.1:${proxy.port}`, rabbitmq });
}

async function sendTo(under: FaultyService, count: number) {
  const tasks = tinyTasks(count);
  await Promise.all(tasks.map((task) => under.orchestrator.ready(task)));
  return tasks;
}

/** Whether the data is of `basic.ack` frames only, which is what a broker confirms with and a consumer acks with. */
function onlyAcks(data: Buffer): boolean {
  let at = 0;
  while (at + ACK_FRAME_BYTES <= data.length) {
    const isAck = data[at] === 1 && data.readUInt16BE(at + 7) === 60 && data.readUInt16BE(at + 9) === 80;
    if (!isAck) return false;
    at += ACK_FRAME_BYTES;
  }
  return at === data.length && at > 0;
}

/** Type, channel, size; class, method, delivery tag, bits; end. */
const ACK_FRAME_BYTES = 7 + 2 + 2 + 8 + 1 + 1;

test('a connection cut between publish and confirm: the event is published again under its id', async () => {
  const under = await throughProxy();
  const cut = proxy.cutBefore(onlyAcks, 'server');
  const tasks = await sendTo(under, 20);
  await cut;
  await nothingIsLost(under, tasks);
  assert.ok(under.entries('broker_lost').length > 0);
});

test('a connection cut between confirm and ack: the message comes back and is answered without the model', async () => {
  const under = await throughProxy();
  const cut = proxy.cutBefore(onlyAcks, 'client');
  const tasks = await sendTo(under, 20);
  await cut;
  await nothingIsLost(under, tasks);
  assert.ok(under.entries('broker_lost').length > 0);
});

test('a confirm that never comes: the event is published again under its id, on the same connection', async () => {
  const under = await throughProxy(['confirm_timeout_ms: 500']);
  const swallowed = proxy.swallow(onlyAcks);
  const tasks = await sendTo(under, 1);
  await swallowed;
  await nothingIsLost(under, tasks);
  assert.equal(under.entries('confirm_timeout').length, 1);
  assert.equal(under.entries('broker_lost').length, 0);
  assert.equal(under.orchestrator.seen.length, 2);
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

test('a line that freezes while the service connects does not keep it from connecting later', async () => {
  const under = await throughProxy(['heartbeat_seconds: 1', 'connect_timeout_ms: 500']);
  // In the middle of the declarations, one of which the broker has answered.
  let answers = 0;
  void proxy.swallow(() => {
    if (++answers === 20) proxy.freeze();
    return false;
  });
  proxy.cut();
  await eventually(() => answers >= 20, 'the freeze');
  await eventually(() => under.entries('broker_unreachable').length > 0, 'the attempt is given up');
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
