import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { urlThrough } from '../events/at-broker.js';
import { type FaultProxy, startProxy } from '../servers/proxy.js';
import { type SharedRabbit, sharedRabbit } from '../shared-rabbit.js';
import { atFaults, closeAll, eventually, type FaultyService, nothingIsLost, tinyTasks } from './at-faults.js';

const test = suite('lines cut around confirm and ack');
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

function throughProxy(rabbitmq: readonly string[] = []): Promise<FaultyService> {
  return atFaults(rabbit, { serviceUrl: urlThrough(proxy), rabbitmq });
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
  const under = await throughProxy(['confirm_timeout_ms: 3000']);
  const swallowed = proxy.swallow(onlyAcks);
  const tasks = await sendTo(under, 1);
  await swallowed;
  await eventually(() => under.orchestrator.seen.length === 2, 'published again');
  await nothingIsLost(under, tasks);
  assert.equal(under.entries('confirm_timeout').length, 1);
  assert.equal(under.entries('broker_lost').length, 0);
  assert.equal(under.orchestrator.seen.length, 2);
});

test.run();
