import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { connect } from 'amqplib';
import { suite } from 'uvu';
import { onlyTiny, sleep, until } from '../service/at-service.js';
import { type SharedRabbit, sharedRabbit } from '../shared-rabbit.js';
import {
  aReadyEvent,
  aTinyTask,
  atBroker,
  type BrokerUnderTest,
  modelCalls,
  outcomeOf,
} from './at-broker.js';

const test = suite('messages as other senders make them');
let rabbit: SharedRabbit;
let under: BrokerUnderTest;

test.before(async () => {
  rabbit = await sharedRabbit();
  under = await atBroker(rabbit, {
    yaml: `gateway: {max_attempts: 1}\n${onlyTiny(4, 20)}`,
    rabbitmq: ['max_attempts: 3'],
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

test('a structured event whose attributes stand in its headers as well is read as structured', async () => {
  const [declared, undeclared] = [aTinyTask(), aTinyTask()];
  const headers = { 'cloudEvents:specversion': '1.0', 'cloudEvents:id': 'e-1' };
  const { publish } = under.orchestrator;
  await publish('task.ready.tiny', json(aReadyEvent(declared)), { ...asEvent, headers });
  await publish('task.ready.tiny', json(aReadyEvent(undeclared)), {
    contentType: 'application/json',
    headers,
  });
  for (const { task_id } of [declared, undeclared])
    assert.equal((await outcomeOf(under, task_id)).event.data.status, 'completed');
});

test('attributes in headers that are bytes count as those that are text', async () => {
  const task = aTinyTask();
  const headers = {
    'cloudEvents:specversion': Buffer.from('1.0'),
    'cloudEvents:correlationid': Buffer.from('order-8'),
  };
  await under.orchestrator.publish('task.ready.tiny', json(task), { headers });
  assert.equal((await outcomeOf(under, task.task_id)).event.correlationid, 'order-8');
});

test('a correlationid too long for a property comes back in the envelope', async () => {
  const task = aTinyTask();
  const correlationid = 'c'.repeat(300);
  await under.orchestrator.publish('task.ready.tiny', json({ ...aReadyEvent(task), correlationid }), asEvent);
  const { event, message } = await outcomeOf(under, task.task_id);
  assert.equal(event.correlationid, correlationid);
  assert.equal(message.properties.correlationId, undefined);
});

test('a trace context that no header holds does not keep the outcome from its sender', async () => {
  const tasks = [aTinyTask(), aTinyTask()] as const;
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const long = 'x'.repeat(100_000);
  const { publish } = under.orchestrator;
  await publish(
    'task.ready.tiny',
    json({ ...aReadyEvent(tasks[0]), traceparent, tracestate: `a=${long}` }),
    asEvent,
  );
  await publish(
    'task.ready.tiny',
    json({ ...aReadyEvent(tasks[1]), traceparent: `${traceparent}-${long}` }),
    asEvent,
  );
  const [first, second] = [
    await outcomeOf(under, tasks[0].task_id),
    await outcomeOf(under, tasks[1].task_id),
  ];
  assert.deepEqual([first.event.traceparent, first.event.tracestate], [traceparent, undefined]);
  assert.equal(second.event.traceparent, undefined);
});

test('a header that is no count of attempts counts as none', async () => {
  for (const attempts of [-3, 0.5, 'many']) {
    await under.knobs({ script: [{ status: 503 }] });
    const task = aTinyTask();
    await under.orchestrator.ready(task, { headers: { 'x-attempts': attempts } });
    assert.equal((await outcomeOf(under, task.task_id)).event.data.status, 'completed', String(attempts));
    assert.equal(await modelCalls(under, task.task_id), 2);
  }
});

test('headers that amqplib can read and not write do not keep a message from the dead letters', async () => {
  const small = { '!': 'double', value: -1e300 };
  const odd = [small, { '!': 'timestamp', value: 18446744073709551615n }, [{ deep: small }]];
  for (const [at, value] of odd.entries()) {
    const headers = { odd: value, kept: at };
    await under.orchestrator.publish('task.ready.tiny', Buffer.from('poison'), { headers });
  }
  const letters: unknown[] = [];
  await until(async () => {
    const taken = await under.orchestrator.take(under.queue('dead'));
    letters.push(...taken.map(({ properties }) => properties.headers!.kept));
    return letters.length === odd.length;
  }, 'the dead letters');
  assert.deepEqual(letters, [0, 1, 2]);
});

/** As amqplib would write arrays within one another, if it could. */
function nestedArrays(levels: number): Buffer {
  const bytes = Buffer.alloc(levels * 5);
  for (let level = 0; level < levels; level++) {
    bytes[level * 5] = 'A'.charCodeAt(0);
    bytes.writeUInt32BE((levels - level - 1) * 5, level * 5 + 1);
  }
  return bytes;
}

test('headers within headers, thousands of them, keep neither their message nor others from their end', async () => {
  const sender = await connect(rabbit.url);
  const channel = await sender.createConfirmChannel();
  const { stream } = sender.connection as unknown as { stream: Socket };
  const write = stream.write.bind(stream) as (chunk: Buffer) => boolean;
  stream.write = (chunk: Buffer) => {
    // What it takes for bytes goes out as an array.
    const at = chunk.indexOf('\x04deepx');
    if (at >= 0) chunk.write('A', at + 5);
    return write(chunk);
  };
  const send = (key: string, content: Buffer) =>
    channel.publish(under.names.exchange, key, content, { headers: { deep: nestedArrays(6000) } });
  const tasks = [aTinyTask(), aTinyTask()] as const;
  send('task.cancelled', json({ task_id: 'nobody' }));
  send('task.ready.tiny', Buffer.from('poison'));
  send('task.ready.tiny', json(aReadyEvent(tasks[0])));
  await channel.waitForConfirms();
  await under.orchestrator.ready(tasks[1]);
  for (const { task_id } of tasks)
    assert.equal((await outcomeOf(under, task_id)).event.data.status, 'completed');
  const letters: string[] = [];
  await until(async () => {
    const taken = await under.orchestrator.take(under.queue('dead'));
    letters.push(...taken.map(({ content }) => content.toString()));
    return letters.length > 0;
  }, 'the dead letter');
  assert.deepEqual(letters, ['poison']);
  await sender.close();
});

test('a message that is moved to the suspects keeps the time of its expiry', async () => {
  await under.knobs({ ttftMs: 60_000 });
  const [slow, impatient] = [aTinyTask(), aTinyTask()];
  const headers = { 'x-delivery-count': 2 };
  await under.orchestrator.ready(slow, { headers });
  await until(
    async () => (await modelCalls(under, slow.task_id)) === 1,
    'the model call of the one suspect in hand',
  );
  await under.orchestrator.ready(impatient, { headers, expiration: '1000' });
  await sleep(1_100);
  await under.orchestrator.publish('task.cancelled', json({ task_id: slow.task_id }));
  assert.equal((await outcomeOf(under, impatient.task_id)).event.data.code, 'deadline_exceeded');
  assert.equal(await modelCalls(under, impatient.task_id), 0);
  await under.orchestrator.take(under.queue('dead'));
});

test('a cancellation counts whatever its reason is', async () => {
  for (const reason of [null, 7, { code: 'superseded' }]) {
    await under.knobs({ ttftMs: 10_000 });
    const task = aTinyTask();
    await under.orchestrator.ready(task);
    await until(async () => (await modelCalls(under, task.task_id)) === 1, 'the model call');
    await under.orchestrator.publish('task.cancelled', json({ task_id: task.task_id, reason }));
    assert.equal((await outcomeOf(under, task.task_id)).event.data.code, 'cancelled');
  }
});

test.run();
