import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type ChannelModel, connect } from 'amqplib';
import { suite } from 'uvu';
import { freePort } from '../../bench/servers/processes.js';
import { terminalEventId } from '../../server/events/outcome-event.js';
import { aReadyEvent, aTinyTask, freshNames } from '../events/at-broker.js';
import { startProxy } from '../servers/proxy.js';
import { onlyTiny } from '../service/at-service.js';
import { type SharedRabbit, sharedRabbit } from '../shared-rabbit.js';
import {
  aSteadyOrchestrator,
  atFaults,
  closeAll,
  eventually,
  nothingIsLost,
  tinyTasks,
} from './at-faults.js';

const test = suite('a broker that is not as expected');
let rabbit: SharedRabbit;
let operator: ChannelModel;

test.before(async () => {
  rabbit = await sharedRabbit();
  operator = await connect(rabbit.url);
});
test.after.each(closeAll);
test.after(async () => {
  await operator.close();
  await rabbit?.close();
});

test('a queue of that name with other arguments is named in log and health, while HTTP serves', async () => {
  const names = freshNames();
  const queue = `${names.queuePrefix}.ready.tiny`;
  const channel = await operator.createChannel();
  await channel.assertQueue(queue, { durable: true });
  const under = await atFaults(rabbit, { names, wait: false });
  const conflict = new RegExp(
    `queue ${queue} with other arguments .*delete it there, or set rabbitmq.queue_prefix`,
  );
  await eventually(() => under.entries('broker_unreachable').length > 1, 'the refusal');
  assert.match(under.entries('broker_unreachable').at(-1).error, conflict);
  for (const path of ['/health/detailed', '/health/ready']) {
    const { body } = await under.ask('GET', path);
    assert.equal(body.dependencies.rabbitmq, 'disconnected');
    assert.match(body.details.rabbitmq, conflict);
  }
  const [byHttp] = tinyTasks(1);
  assert.equal((await under.execute(byHttp!)).status, 200);
  await channel.deleteQueue(queue);
  await eventually(() => under.connected(), 'connected when it is gone');
  assert.equal((await under.ask('GET', '/health/detailed')).body.details, undefined);
  const tasks = tinyTasks(3);
  for (const task of tasks) await under.orchestrator.ready(task);
  await nothingIsLost(under, [byHttp!, ...tasks]);
});

test('an exchange that another service made without an alternate: outcomes for nobody are kept all the same', async () => {
  const names = freshNames();
  const orchestrator = await aSteadyOrchestrator(rabbit.url, names, { alternate: false, subscribe: false });
  const under = await atFaults(rabbit, { names, orchestrator });
  assert.ok(under.entries('exchange_without_alternate').length > 0);
  const tasks = tinyTasks(5);
  for (const task of tasks) await orchestrator.ready(task);
  await eventually(
    async () => (await orchestrator.depth(under.queue('unrouted'))) === 5,
    'five outcomes kept',
  );
  const kept = await orchestrator.take(under.queue('unrouted'));
  assert.deepEqual(
    kept.map(({ properties }) => properties.messageId).sort(),
    tasks.map(({ task_id }) => terminalEventId(task_id)).sort(),
  );
  await under.stop();
  for (const queue of ['ready.tiny', 'unrouted', 'dead'])
    assert.equal(await orchestrator.depth(under.queue(queue)), 0, queue);
});

test('an exchange with an alternate of another service is shared, and outcomes for nobody are kept all the same', async () => {
  const names = freshNames();
  const orchestrator = await aSteadyOrchestrator(rabbit.url, names, {
    alternate: 'theirs',
    subscribe: false,
  });
  const under = await atFaults(rabbit, { names, orchestrator });
  const tasks = tinyTasks(5);
  for (const task of tasks) await orchestrator.ready(task);
  await eventually(
    async () => (await orchestrator.depth(under.queue('unrouted'))) === 5,
    'five outcomes kept',
  );
  await under.stop();
  assert.equal(await orchestrator.depth(under.queue('ready.tiny')), 0);
});

test('tasks that are sent while the service starts for the first time are executed, or come back to their sender', async () => {
  const names = freshNames();
  const orchestrator = await aSteadyOrchestrator(rabbit.url, names);
  const channel = await operator.createConfirmChannel();
  const returned = new Set<string>();
  channel.on('return', ({ properties }) => returned.add(properties.messageId));
  const send = async (task: object) => {
    const content = Buffer.from(JSON.stringify(aReadyEvent(task)));
    for (;;) {
      const messageId = randomUUID();
      const options = { mandatory: true, messageId, contentType: 'application/cloudevents+json' };
      await new Promise<void>((resolve, reject) => {
        channel.publish(names.exchange, 'task.ready.tiny', content, options, (error) =>
          error ? reject(error) : resolve(),
        );
      });
      if (!returned.has(messageId)) return;
    }
  };
  const tasks = tinyTasks(20);
  const sent = Promise.all(tasks.map(send));
  const under = await atFaults(rabbit, { names, orchestrator });
  await sent;
  assert.ok(returned.size > 0);
  await orchestrator.outcomes(tasks.length);
  assert.equal(await orchestrator.depth(under.queue('unrouted')), 0);
  await channel.close();
});

test('queues deleted while the service runs are declared again, and consumed again', async () => {
  const under = await atFaults(rabbit, {
    yaml: 'gateway: {max_attempts: 1}\nqueues: {tiny: {concurrency: 4, timeout: 30}}',
  });
  await under.knobs({ ttftMs: 1000 });
  const inHand = tinyTasks(2);
  for (const task of inHand) await under.orchestrator.ready(task);
  await eventually(async () => (await under.stats()).open === 2, 'both run');
  const channel = await operator.createChannel();
  for (const name of ['ready.tiny', 'suspect.tiny', 'delay.100', 'dead', 'unrouted'])
    await channel.deleteQueue(under.queue(name));
  await eventually(() => under.entries('consume_reopened').length === 2, 'both queues consumed again');
  await under.knobs({ script: [{ status: 503 }] });
  const later = tinyTasks(10);
  for (const task of later) await under.orchestrator.ready(task);
  await under.orchestrator.ready(aTinyTask({ domain: 'astrology' }));
  await under.orchestrator.outcomes(13);
  // The event of a task that is given up may be seen before its letter is.
  await eventually(
    async () => (await under.orchestrator.depth(under.queue('dead'))) === 1,
    'the dead letter',
  );
  const [letter, ...others] = await under.orchestrator.take(under.queue('dead'));
  assert.equal(others.length, 0);
  assert.equal(letter!.properties.headers!['x-reason'], 'unknown_domain');
  const { task_id } = JSON.parse(letter!.content.toString()).data;
  await nothingIsLost(under, [...inHand, ...later, { task_id }], { calls: 2 });
});

test('a delay queue or a queue of dead letters that is deleted later costs no task', async () => {
  const under = await atFaults(rabbit, {
    yaml: `gateway: {max_attempts: 1}\n${onlyTiny(4, 30)}`,
  });
  await under.knobs({ script: [{ status: 503 }] });
  const [task] = tinyTasks(1);
  const unknown = aTinyTask({ domain: 'astrology' });
  const channel = await operator.createChannel();
  for (const name of ['delay.100', 'dead']) await channel.deleteQueue(under.queue(name));
  await under.orchestrator.ready(task!);
  await under.orchestrator.ready(unknown);
  await under.orchestrator.outcomes(2);
  await eventually(
    async () => (await under.orchestrator.depth(under.queue('dead'))) === 1,
    'the dead letter',
  );
  assert.ok(under.entries('queue_missing').length >= 2);
  await nothingIsLost(under, [task!, unknown], { calls: 2, except: ['dead'] });
});

test('an exchange deleted while the service runs is made again', async () => {
  const under = await atFaults(rabbit);
  const channel = await operator.createChannel();
  await channel.deleteExchange(under.names.exchange);
  const [byHttp] = tinyTasks(1);
  assert.equal((await under.execute(byHttp!)).status, 200);
  // Its subscriber's binding went with it, so the outcome is kept by the alternate exchange.
  await eventually(async () => (await under.orchestrator.depth(under.queue('unrouted'))) === 1, 'kept');
  const [kept] = await under.orchestrator.take(under.queue('unrouted'));
  assert.equal(kept!.properties.messageId, terminalEventId(byHttp!.task_id));
});

test('of a list of brokers the one that lives is used, also when the other one goes later', async () => {
  const dead = await freePort();
  const proxy = await startProxy(rabbit.port);
  const serviceUrl = `127.0.0.1:${dead},127.0.0.1:${proxy.port},${rabbit.url}`;
  const under = await atFaults(rabbit, { serviceUrl });
  const first = tinyTasks(5);
  for (const task of first) await under.orchestrator.ready(task);
  await under.orchestrator.outcomes(5);
  await proxy.close();
  await eventually(
    () => under.entries('broker_connected').some(({ port }) => port === rabbit.port),
    'the other one',
  );
  await eventually(() => under.connected(), 'connected');
  const second = tinyTasks(5);
  for (const task of second) await under.orchestrator.ready(task);
  await nothingIsLost(under, [...first, ...second]);
});

test.run();
