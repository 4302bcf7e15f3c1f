import assert from 'node:assert/strict';
import type { ConsumeMessage } from 'amqplib';
import { suite } from 'uvu';
import { TaskFailedEvent, TaskOutputCreatedEvent } from '../../contracts/events.js';
import { compile } from '../../contracts/validator.js';
import { onlyTiny, sleep, until } from '../service/at-service.js';
import { type SharedRabbit, sharedRabbit } from '../shared-rabbit.js';
import {
  aReadyEvent,
  aTinyTask,
  atBroker,
  type BrokerUnderTest,
  modelCalls,
  outcomeOf,
  queuesAreEmpty,
  type SeenEvent,
} from './at-broker.js';

const test = suite('tasks from the queue');
let rabbit: SharedRabbit;
let under: BrokerUnderTest;

test.before(async () => {
  rabbit = await sharedRabbit();
  under = await atBroker(rabbit, {
    yaml: 'gateway: {max_attempts: 1}\nqueues: {tiny: {concurrency: 4, timeout: 20}}',
    rabbitmq: ['max_message_bytes: 2000000', 'max_attempts: 3'],
  });
});
test.after(async () => {
  await under.close();
  await rabbit?.close();
});
test.before.each(async () => {
  await under.knobs({});
  under.orchestrator.seen.length = 0;
});

const asEvent = { contentType: 'application/cloudevents+json' };
const json = (value: unknown) => Buffer.from(JSON.stringify(value));

/** What the log says of the dead letter of a task. */
function deadLettered(taskId: string): Record<string, unknown> | undefined {
  const lines = under.logged as Record<string, unknown>[];
  return lines.find(({ event, task_id }) => event === 'message_dead_lettered' && task_id === taskId);
}

/** The dead letters, once so many are there: the event of a task may be seen before its letter is. */
async function deadLetters(count: number): Promise<ConsumeMessage[]> {
  const taken: ConsumeMessage[] = [];
  const take = async () => taken.push(...(await under.orchestrator.take(under.queue('dead'))));
  await until(async () => (await take()) >= count, `${count} dead letters`);
  // One too many may come a little later.
  await sleep(200);
  await take();
  return taken;
}

test('a task is executed and its outcome published as a CloudEvent', async () => {
  const task = aTinyTask();
  await under.orchestrator.ready(task);
  const [seen] = (await under.orchestrator.outcomes(1)).get(task.task_id)!;
  const { event, message, routingKey } = seen!;
  assert.equal(routingKey, 'task.output.created');
  assert.equal(event.specversion, '1.0');
  assert.equal(event.type, 'dats.task.output.created');
  assert.equal(event.source, '/worker-service');
  assert.equal(event.data.status, 'completed');
  assert.equal(typeof event.data.output.content, 'string');
  assert.match(event.data.artifact_id, /^art-/);
  const { properties } = message;
  assert.equal(properties.messageId, event.id);
  assert.equal(properties.type, event.type);
  assert.equal(properties.appId, 'worker-service');
  assert.equal(properties.deliveryMode, 2);
  assert.equal(properties.contentType, 'application/cloudevents+json');
  assert.equal(properties.timestamp, Math.floor(Date.parse(event.time) / 1000));
});

test('ten messages with one task at once: one model call, one distinct terminal id', async () => {
  const task = aTinyTask();
  const before = (await under.stats()).calls;
  await Promise.all(Array.from({ length: 10 }, () => under.orchestrator.ready(task)));
  await under.orchestrator.outcomes(1);
  await sleep(200);
  const ids = new Set(under.orchestrator.seen.map(({ event }) => event.id));
  assert.equal(ids.size, 1);
  assert.equal((await under.stats()).calls - before, 1);
});

test('a task that is sent again after its end does not call the model again', async () => {
  const task = aTinyTask();
  await under.orchestrator.ready(task);
  await under.orchestrator.outcomes(1);
  const before = (await under.stats()).calls;
  await under.orchestrator.ready(task);
  await sleep(200);
  assert.equal((await under.stats()).calls, before);
});

test('a task that came by HTTP publishes too', async () => {
  const task = aTinyTask();
  const answer = await under.execute(task);
  assert.equal(answer.status, 200);
  const [seen] = (await under.orchestrator.outcomes(1)).get(task.task_id)!;
  assert.deepEqual(seen!.event.data, answer.body);
});

test('a hundred tasks have a hundred outcomes', async () => {
  const tasks = Array.from({ length: 100 }, () => aTinyTask());
  await Promise.all(tasks.map((task) => under.orchestrator.ready(task)));
  const outcomes = await under.orchestrator.outcomes(100);
  assert.equal(under.orchestrator.seen.length, 100);
  assert.ok(tasks.every(({ task_id }) => outcomes.has(task_id)));
});

test('binary mode and a bare body are understood as well', async () => {
  const [binary, bare, untyped] = [aTinyTask(), aTinyTask(), aTinyTask()];
  const headers = {
    'cloudEvents:specversion': '1.0',
    'cloudEvents:id': 'b-1',
    'cloudEvents:type': 'dats.task.ready',
    'cloudEvents:source': '/orchestration',
    'cloudEvents:traceparent': '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  };
  await under.orchestrator.publish('task.ready.tiny', json(binary), {
    contentType: 'application/json',
    headers,
  });
  await under.orchestrator.publish('task.ready.tiny', json(bare), { contentType: 'application/json' });
  await under.orchestrator.publish('task.ready.tiny', json(aReadyEvent(untyped)));
  for (const { task_id } of [binary, bare, untyped])
    assert.equal((await outcomeOf(under, task_id)).event.data.status, 'completed');
  assert.equal(
    (await outcomeOf(under, binary.task_id)).event.traceparent,
    headers['cloudEvents:traceparent'],
  );
});

test('the tier of the routing key holds for a task that names none', async () => {
  const { tier: _, ...task } = aTinyTask();
  await under.orchestrator.publish('task.ready.tiny', json(task));
  assert.equal((await outcomeOf(under, task.task_id)).event.data.tier, 'tiny');
});

test('correlation_id and traceparent come back with the outcome', async () => {
  const task = aTinyTask();
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  await under.orchestrator.ready(task, { correlationId: 'order-7', headers: { traceparent } });
  const { message, event } = await outcomeOf(under, task.task_id);
  assert.equal(message.properties.correlationId, 'order-7');
  assert.equal(message.properties.headers?.traceparent, traceparent);
  assert.equal(event.traceparent, traceparent);
});

test('an event that joins the execution of an HTTP caller finds its correlation_id in the outcome', async () => {
  await under.knobs({ ttftMs: 1500 });
  const task = aTinyTask();
  const answer = under.execute(task);
  await until(async () => (await modelCalls(under, task.task_id)) === 1, 'the model call');
  await under.orchestrator.ready(task, { correlationId: 'order-9' });
  assert.equal((await answer).status, 200);
  const { message, event } = await outcomeOf(under, task.task_id);
  assert.deepEqual([message.properties.correlationId, event.correlationid], ['order-9', 'order-9']);
  await queuesAreEmpty(rabbit, under);
  assert.equal(await modelCalls(under, task.task_id), 1);
});

test('a traceparent that is none does not reach the gateway, and does not stop the task', async () => {
  const task = aTinyTask();
  const traceparent = '00-x\r\nx-injected: 1';
  await under.orchestrator.ready(task, { headers: { traceparent } });
  assert.equal((await outcomeOf(under, task.task_id)).event.data.status, 'completed');
});

test('the payloads are those that the AsyncAPI document describes', async () => {
  const [good, bad] = [aTinyTask(), aTinyTask()];
  await under.orchestrator.ready(good);
  await outcomeOf(under, good.task_id);
  await under.knobs({ refusal: 'This is not a task for me.' });
  await under.orchestrator.ready(bad);
  const [created, failed] = [await outcomeOf(under, good.task_id), await outcomeOf(under, bad.task_id)];
  assert.deepEqual(compile(TaskOutputCreatedEvent).violations(created.event), []);
  assert.deepEqual(compile(TaskFailedEvent).violations(failed.event), []);
  assert.equal(failed.event.data.code, 'refused');
  assert.equal(failed.routingKey, 'task.failed');
});

test('a refusal is an outcome, not a dead letter', async () => {
  assert.deepEqual(await under.orchestrator.take(under.queue('dead')), []);
});

test('what fails for the moment is tried again by the broker, and succeeds', async () => {
  await under.knobs({ script: [{ status: 503 }, { status: 503 }] });
  const task = aTinyTask();
  await under.orchestrator.ready(task);
  assert.equal((await outcomeOf(under, task.task_id)).event.data.status, 'completed');
  assert.equal(await modelCalls(under, task.task_id), 3);
  assert.equal(under.orchestrator.seen.length, 1);
});

test('DELETE of a task that waits for its next attempt: it has none, and has failed with cancelled', async () => {
  const patient = await atBroker(rabbit, {
    yaml: 'gateway: {max_attempts: 1}',
    rabbitmq: ['max_attempts: 3'],
    retryDelaysMs: [3000],
  });
  try {
    await patient.knobs({ status: 503 });
    const task = aTinyTask();
    await patient.orchestrator.ready(task);
    const status = async () => (await patient.ask('GET', `/tasks/${task.task_id}`)).body.status;
    await until(async () => (await status()) === 'queued', 'it waits in the broker');
    const { status: code, body } = await patient.ask('DELETE', `/tasks/${task.task_id}`);
    assert.deepEqual([code, body.status], [202, 'cancelling']);
    const { event, routingKey } = await outcomeOf(patient, task.task_id);
    assert.deepEqual([routingKey, event.data.code], ['task.failed', 'cancelled']);
    assert.equal(await status(), 'failed');
    assert.equal(await modelCalls(patient, task.task_id), 1);
    await queuesAreEmpty(rabbit, patient);
  } finally {
    await patient.close();
  }
});

test('a task that meets an open circuit waits in the broker until it may close, not as short as its first retry', async () => {
  const long = 60_000;
  const down = await atBroker(rabbit, {
    yaml: `gateway: {max_attempts: 1, breaker_failures: 1, breaker_open_ms: ${long}}\n${onlyTiny(1, 20)}`,
    retryDelaysMs: [50, 100, long],
  });
  try {
    await down.knobs({ status: 503 });
    const tasks = Array.from({ length: 4 }, () => aTinyTask());
    for (const task of tasks) await down.orchestrator.ready(task);
    const waits = async () => (await rabbit.queues()).get(down.queue(`delay.${long}`))?.ready;
    await until(async () => (await waits()) === tasks.length, 'all wait for the circuit');
    assert.equal((await down.stats()).calls, 1);
    assert.deepEqual(down.orchestrator.seen, []);
  } finally {
    await down.close();
  }
});

test('DELETE of a task that failed by HTTP, and waits nowhere, is a conflict', async () => {
  await under.knobs({ status: 503 });
  const task = aTinyTask();
  assert.equal((await under.execute(task)).status, 503);
  assert.equal((await under.ask('DELETE', `/tasks/${task.task_id}`)).body.code, 'task_conflict');
});

test('after max_attempts the task has failed for good, and its message is a dead letter', async () => {
  await under.knobs({ status: 503, body: 'what was asked' });
  const task = aTinyTask();
  await under.orchestrator.ready(task, { correlationId: 'c-1' });
  const { event, routingKey } = await outcomeOf(under, task.task_id);
  assert.equal(routingKey, 'task.failed');
  assert.deepEqual([event.data.code, event.data.retryable], ['gateway_unavailable', false]);
  assert.equal(await modelCalls(under, task.task_id), 3);
  const [letter, ...others] = await deadLetters(1);
  assert.equal(others.length, 0);
  const { headers, correlationId } = letter!.properties;
  assert.equal(headers!['x-reason'], 'gateway_unavailable');
  assert.equal(headers!['x-attempts'], 3);
  assert.equal(headers!['x-queue'], under.queue('ready.tiny'));
  assert.equal(headers!['x-detail'], 'the gateway answered 503: what was asked');
  await until(async () => deadLettered(task.task_id) !== undefined, 'the line of the dead letter');
  const line = deadLettered(task.task_id)!;
  assert.equal(line.message_id, letter!.properties.messageId);
  // What a gateway says may be of the task, which the log does not tell.
  assert.equal(line.detail, 'the gateway answered 503');
  assert.equal(correlationId, 'c-1');
  assert.equal(JSON.parse(letter!.content.toString()).data.task_id, task.task_id);
  assert.equal((await under.ask('GET', `/tasks/${task.task_id}`)).body.status, 'failed');
});

test('ten messages of a task that fails at once have its attempts together, and one end', async () => {
  await under.knobs({ status: 503 });
  const task = aTinyTask();
  await Promise.all(Array.from({ length: 10 }, () => under.orchestrator.ready(task)));
  await outcomeOf(under, task.task_id);
  assert.equal((await deadLetters(10)).length, 10);
  assert.equal(await modelCalls(under, task.task_id), 3);
  assert.equal(new Set(under.orchestrator.seen.map(({ event }) => event.id)).size, 1);
});

test('poison is dead-lettered at once, and good messages beside it are executed', async () => {
  const before = (await under.stats()).calls;
  const good = Array.from({ length: 5 }, () => aTinyTask());
  const wrongShape = { ...aTinyTask(), surprise: 1 };
  const unknownDomain = aTinyTask({ domain: 'astrology' });
  const poison: [string, Buffer, object][] = [
    ['invalid_request', Buffer.from('not json'), {}],
    ['invalid_request', Buffer.from([0xff, 0xfe, 0x7b]), {}],
    ['invalid_request', Buffer.alloc(0), {}],
    ['invalid_request', json([]), {}],
    ['invalid_request', json({ specversion: '0.3', data: aTinyTask() }), asEvent],
    ['invalid_request', json(aReadyEvent(wrongShape)), asEvent],
    ['unknown_domain', json(aReadyEvent(unknownDomain)), asEvent],
    ['payload_too_large', Buffer.alloc(10_000_000, 'x'), {}],
  ];
  for (const [at, [, content, options]] of poison.entries()) {
    await under.orchestrator.publish('task.ready.tiny', content, options);
    if (at < good.length) await under.orchestrator.ready(good[at]!);
  }
  for (const { task_id } of good)
    assert.equal((await outcomeOf(under, task_id)).event.data.status, 'completed');
  for (const [task, code] of [
    [wrongShape, 'invalid_request'],
    [unknownDomain, 'unknown_domain'],
  ] as const)
    assert.equal((await outcomeOf(under, task.task_id)).event.data.code, code);
  const letters = await deadLetters(poison.length);
  assert.deepEqual(
    letters.map(({ properties }) => properties.headers!['x-reason']).sort(),
    poison.map(([reason]) => reason).sort(),
  );
  assert.equal((await under.stats()).calls - before, good.length);
});

test('the same task_id with another body is a dead letter; the first one stands', async () => {
  const task = aTinyTask();
  await under.orchestrator.ready(task);
  await outcomeOf(under, task.task_id);
  await under.orchestrator.ready({ ...task, description: 'Something else' });
  const letters = await deadLetters(1);
  assert.deepEqual(
    letters.map(({ properties }) => properties.headers!['x-reason']),
    ['task_conflict'],
  );
  assert.equal(under.orchestrator.seen.length, 1);
});

test('headers that fill a frame do not keep a message from moving on', async () => {
  await under.knobs({ script: [{ status: 503 }] });
  const task = aTinyTask();
  await under.orchestrator.ready(task, { headers: { filler: 'x'.repeat(60_000) } });
  assert.equal((await outcomeOf(under, task.task_id)).event.data.status, 'completed');
});

test('a task that expired while it waited is not executed', async () => {
  const task = aTinyTask();
  const event = { ...aReadyEvent(task), expirytime: new Date(Date.now() - 1000).toISOString() };
  await under.orchestrator.publish('task.ready.tiny', json(event), asEvent);
  const { data } = (await outcomeOf(under, task.task_id)).event;
  assert.deepEqual([data.status, data.code, data.retryable], ['failed', 'deadline_exceeded', false]);
  assert.equal(await modelCalls(under, task.task_id), 0);
  assert.equal((await deadLetters(1)).length, 1);
});

test('task.cancelled stops a running task: one task.failed with cancelled', async () => {
  await under.knobs({ ttftMs: 10_000 });
  const task = aTinyTask();
  await under.orchestrator.ready(task);
  await until(async () => (await modelCalls(under, task.task_id)) === 1, 'the model call');
  await under.orchestrator.publish(
    'task.cancelled',
    json(aReadyEvent({ task_id: task.task_id, reason: 'superseded' })),
    asEvent,
  );
  const { data } = (await outcomeOf(under, task.task_id)).event;
  assert.deepEqual([data.status, data.code], ['failed', 'cancelled']);
  await until(async () => (await under.stats()).open === 0, 'the model call closed');
});

test('task.cancelled stops a task that waits in the broker before it costs anything', async () => {
  await under.knobs({ ttftMs: 60_000 });
  const running = Array.from({ length: 4 }, () => aTinyTask());
  const waiting = aTinyTask();
  for (const task of [...running, waiting]) await under.orchestrator.ready(task);
  await until(async () => (await under.stats()).open === 4, 'all slots taken');
  await under.orchestrator.publish('task.cancelled', json({ task_id: waiting.task_id }));
  const { data } = (await outcomeOf(under, waiting.task_id)).event;
  assert.equal(data.code, 'cancelled');
  assert.equal(await modelCalls(under, waiting.task_id), 0);
  for (const { task_id } of running) await under.orchestrator.publish('task.cancelled', json({ task_id }));
  await under.orchestrator.outcomes(5);
});

test('task.cancelled without sense is passed over', async () => {
  await under.orchestrator.publish('task.cancelled', Buffer.from('{'));
  await under.orchestrator.publish('task.cancelled', json({ task_id: '../../etc' }));
  const task = aTinyTask();
  await under.orchestrator.ready(task);
  assert.equal((await outcomeOf(under, task.task_id)).event.data.status, 'completed');
});

test('no more messages are taken than the tier has slots', async () => {
  await under.knobs({ ttftMs: 300 });
  const tasks = Array.from({ length: 20 }, () => aTinyTask());
  for (const task of tasks) await under.orchestrator.ready(task);
  let most = 0;
  while (new Set(under.orchestrator.seen.map(({ event }) => event.id)).size < tasks.length) {
    most = Math.max(most, (await under.stats()).open);
    await sleep(20);
  }
  assert.equal(most, 4);
});

test('an outcome with no subscriber is kept in the queue of the unrouted', async () => {
  const lonely = await atBroker(rabbit);
  const { exchange, queuePrefix } = lonely.names;
  await lonely.orchestrator.unsubscribe();
  const task = aTinyTask();
  await lonely.execute(task);
  await until(async () => {
    const [message] = await lonely.orchestrator.take(`${queuePrefix}.unrouted`);
    return message !== undefined && JSON.parse(message.content.toString()).data.task_id === task.task_id;
  }, `the outcome among the unrouted of ${exchange}`);
  await lonely.close();
});

test('a stop in the middle of the last attempt does not end the task', async () => {
  const stopped = await atBroker(rabbit, {
    yaml: onlyTiny(2, 20),
    rabbitmq: ['max_attempts: 1'],
    env: { GRACE_PERIOD_MS: '100' },
  });
  try {
    await stopped.knobs({ ttftMs: 20_000 });
    const task = aTinyTask();
    await stopped.orchestrator.ready(task);
    await until(async () => (await stopped.stats()).open === 1, 'the model call');
    await stopped.knobs({});
    await stopped.restart();
    await until(() => stopped.orchestrator.seen.length > 0, 'the outcome');
    const [{ event }] = stopped.orchestrator.seen as [SeenEvent];
    assert.equal(event.data.status, 'completed', JSON.stringify(event.data));
  } finally {
    await stopped.close();
  }
});

test('at the end every queue is empty', async () => {
  await queuesAreEmpty(rabbit, under);
});

test('tasks that meet a pause of the endpoint wait for its end, and none is given up without a call', async () => {
  const paused = await atBroker(rabbit, {
    yaml: 'gateway: {max_attempts: 1, pause_max_ms: 2000}\nqueues: {tiny: {concurrency: 2, timeout: 1}}',
    rabbitmq: ['max_attempts: 2'],
  });
  try {
    await paused.knobs({ script: [{ status: 429, retryAfterSeconds: 60 }] });
    const tasks = Array.from({ length: 10 }, () => aTinyTask());
    for (const task of tasks) await paused.orchestrator.ready(task);
    const outcomes = await paused.orchestrator.outcomes(tasks.length);
    for (const { task_id } of tasks)
      assert.equal(outcomes.get(task_id)![0]!.event.data.status, 'completed', task_id);
    await queuesAreEmpty(rabbit, paused);
  } finally {
    await paused.close();
  }
});

test.run();
