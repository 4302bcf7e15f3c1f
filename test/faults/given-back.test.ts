import assert from 'node:assert/strict';
import { connect } from 'amqplib';
import { suite } from 'uvu';
import { returnsOf } from '../../server/events/message.js';
import {
  aReadyEvent,
  aTinyTask,
  atBroker,
  modelCalls,
  outcomeOf,
  queuesAreEmpty,
  urlThrough,
} from '../events/at-broker.js';
import { type FaultProxy, startProxy } from '../servers/proxy.js';
import { onlyTiny, sleep, tinySlots, until } from '../service/at-service.js';
import { type SharedRabbit, sharedRabbit } from '../shared-rabbit.js';
import { atFaults, eventually, type FaultyService, type TinyTask, tinyTasks } from './at-faults.js';
import { atNodes } from './at-nodes.js';

const test = suite('a task that is given back by processes that stop');
const DELIVERY_LIMIT = 1;
let rabbit: SharedRabbit;

test.before(async () => {
  rabbit = await sharedRabbit();
});
test.after(() => rabbit?.close());

test('more often than the limit of deliveries: it is no suspect, and completes', async () => {
  const under = await atBroker(rabbit, {
    yaml: onlyTiny(2, 60),
    rabbitmq: [`delivery_limit: ${DELIVERY_LIMIT}`],
    env: { GRACE_PERIOD_MS: '1' },
  });
  try {
    await under.knobs({ ttftMs: 60_000 });
    const task = aTinyTask();
    await under.orchestrator.ready(task, { correlationId: 'order-7' });
    const stops = DELIVERY_LIMIT + 5;
    for (let stop = 1; stop <= stops; stop++) {
      await until(async () => (await modelCalls(under, task.task_id)) === stop, `call ${stop} of the model`);
      await under.restart();
    }
    await under.knobs({});
    await under.restart();
    const { event, message } = await outcomeOf(under, task.task_id);
    assert.deepEqual([event.data.status, message.properties.correlationId], ['completed', 'order-7']);
    assert.equal(
      under.logged.some((entry) => (entry as { event?: string }).event === 'message_suspect'),
      false,
    );
    await queuesAreEmpty(rabbit, under);
    assert.equal(under.orchestrator.seen.length, 1);
  } finally {
    await under.close();
  }
});

test('between the deaths of processes that it kills: it is convicted after as many deaths as without', async () => {
  const under = await atNodes(rabbit, {
    yaml: onlyTiny(2, 60),
    rabbitmq: [`delivery_limit: ${DELIVERY_LIMIT}`],
  });
  try {
    await under.knobs({ ttftMs: 60_000 });
    const task = aTinyTask();
    const start = () => under.start({ env: { GRACE_PERIOD_MS: '1' } });
    let node = await start();
    await under.orchestrator.ready(task);
    let calls = 0;
    const called = async () => {
      calls++;
      await until(
        async () => (await modelCalls(under, task.task_id)) === calls,
        `call ${calls} of the model`,
      );
    };
    // Decision 8.
    const deaths = DELIVERY_LIMIT + 3;
    for (let death = 1; death <= deaths; death++) {
      await called();
      await node.kill();
      node = await start();
      if (death === deaths) break;
      await called();
      assert.equal(await node.stop(), 0);
      node = await start();
    }
    await under.orchestrator.outcomes(1);
    await queuesAreEmpty(rabbit, under, ['dead']);
    assert.deepEqual(
      under.orchestrator.seen.map(({ routingKey, event }) => [routingKey, event.data.code]),
      [['task.failed', 'internal_error']],
    );
    assert.equal(await modelCalls(under, task.task_id), calls);
    const letters = await under.orchestrator.take(`${under.names.queuePrefix}.dead`);
    assert.equal(letters.length, 1);
  } finally {
    await under.close();
  }
});

/** A service that reaches its broker through a proxy, for as long as `use` takes. */
async function throughProxy(
  gracePeriodMs: number,
  use: (under: FaultyService, proxy: FaultProxy) => Promise<void>,
): Promise<void> {
  const proxy = await startProxy(rabbit.port);
  const under = await atFaults(rabbit, {
    yaml: tinySlots(8, 60),
    serviceUrl: urlThrough(proxy),
    env: { GRACE_PERIOD_MS: String(gracePeriodMs) },
  });
  try {
    await use(under, proxy);
  } finally {
    proxy.delay(0);
    await under.close();
    await proxy.close();
  }
}

/** Has it call the model for a task, for `ms`. */
async function callTheModel(under: FaultyService, task: TinyTask, ms: number): Promise<void> {
  await under.knobs({ ttftMs: ms });
  await under.orchestrator.ready(task);
  await eventually(async () => (await under.stats()).open === 1, 'the call of the model');
}

/** Has it stop while its line is slow, so that the broker does not hear of it at once. */
async function beginToStop(
  under: FaultyService,
  proxy: FaultProxy,
): Promise<{ readonly stopped: Promise<void> }> {
  proxy.delay(500);
  const stopped = under.stop();
  await eventually(() => under.entries('stopping').length === 1, 'the stop');
  return { stopped };
}

/** Waits until the only message of a queue has been delivered, and is there again. */
async function isThereAgain(under: FaultyService, queue: string): Promise<void> {
  const waiting = () => under.orchestrator.depth(queue);
  await eventually(async () => (await waiting()) === 0, 'the broker has delivered it');
  await eventually(async () => (await waiting()) === 1, 'the message in its queue');
}

test('what is delivered while a process takes its leave of the broker is given back before its last task ends', () =>
  throughProxy(30_000, async (under, proxy) => {
    const [running, late] = tinyTasks(2);
    await callTheModel(under, running!, 12_000);
    const { stopped } = await beginToStop(under, proxy);
    await under.orchestrator.ready(late!);
    await isThereAgain(under, under.queue('ready.tiny'));
    assert.equal((await under.stats()).open, 1, 'the last task runs');
    proxy.delay(0);
    await stopped;
    await under.orchestrator.outcomes(1);
    assert.equal(await modelCalls(under, late!.task_id), 0);
  }));

test('that is no death of a suspect either', () =>
  throughProxy(30_000, async (under, proxy) => {
    await callTheModel(under, aTinyTask(), 12_000);
    const { stopped } = await beginToStop(under, proxy);
    const suspects = under.queue('suspect.tiny');
    const sender = await connect(rabbit.url);
    try {
      const channel = await sender.createConfirmChannel();
      const content = Buffer.from(JSON.stringify(aReadyEvent(aTinyTask())));
      channel.sendToQueue(suspects, content, { contentType: 'application/cloudevents+json' });
      await channel.waitForConfirms();
    } finally {
      await sender.close();
    }
    await isThereAgain(under, suspects);
    proxy.delay(0);
    await stopped;
    const [message, ...others] = await under.orchestrator.take(suspects);
    assert.deepEqual(others, []);
    assert.equal(returnsOf(message!), 0);
  }));

test('a process that stops takes nothing, also when its connection is just being opened again', () =>
  throughProxy(60_000, async (under, proxy) => {
    const [running, late] = tinyTasks(2);
    await callTheModel(under, running!, 25_000);
    const connected = () => under.entries('broker_connected').length;
    const before = connected();
    const watcher = await connect(rabbit.url);
    try {
      const channel = await watcher.createChannel();
      const consumers = async () => (await channel.checkQueue(under.queue('ready.tiny'))).consumerCount;
      proxy.delay(50);
      proxy.cut();
      await eventually(async () => (await consumers()) === 0, 'the loss of the connection');
      await eventually(async () => (await consumers()) === 1, 'the first of the new consumers');
      const stopped = under.stop();
      await eventually(() => connected() === before + 2, 'the connections');
      const task = { ...late!, tier: 'frontier' };
      await under.orchestrator.ready(task);
      await sleep(500);
      assert.equal(await under.orchestrator.depth(under.queue('ready.frontier')), 1);
      assert.equal((await under.stats()).open, 1, 'the last task runs');
      proxy.delay(0);
      await under.knobs({});
      await stopped;
    } finally {
      await watcher.close();
    }
  }));

test.run();
