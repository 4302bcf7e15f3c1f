import assert from 'node:assert/strict';
import type { ConsumeMessage } from 'amqplib';
import { suite } from 'uvu';
import { loadConfig } from '../../config/load.js';
import { domainNames, domains } from '../../domains/registry.js';
import { topologyOf } from '../../server/events/topology.js';
import { until } from '../service/at-service.js';
import { type SharedRabbit, sharedRabbit } from '../shared-rabbit.js';
import { aReadyEvent, aTinyTask, atBroker, type BrokerUnderTest, outcomeOf } from './at-broker.js';
import { AsyncApi } from './documented.js';

const test = suite('the messages are those of the AsyncAPI document');
const asyncApi = new AsyncApi();
let rabbit: SharedRabbit;
let under: BrokerUnderTest;

test.before(async () => {
  rabbit = await sharedRabbit();
  under = await atBroker(rabbit, {
    yaml: 'gateway: {max_attempts: 1}\nqueues: {tiny: {concurrency: 4, timeout: 20}}',
    rabbitmq: ['max_attempts: 2'],
  });
});
test.after(async () => {
  await under.close();
  await rabbit?.close();
});
test.before.each(() => under.knobs({}));

const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

async function endOf(taskId: string): Promise<ConsumeMessage> {
  return (await outcomeOf(under, taskId)).message;
}

async function theLetter(): Promise<ConsumeMessage> {
  let letters: ConsumeMessage[] = [];
  await until(async () => {
    letters = await under.orchestrator.take(under.queue('dead'));
    return letters.length > 0;
  }, 'a dead letter');
  return letters[0]!;
}

for (const domain of domains.keys()) {
  test(`task.output.created of ${domain}, with correlation and trace`, async () => {
    const task = aTinyTask({ domain });
    const event = { ...aReadyEvent(task), correlationid: 'order-7', traceparent };
    assert.deepEqual(asyncApi.faultsOfPayload('TaskReady', event), []);
    await under.orchestrator.publish('task.ready.tiny', json(event), {
      contentType: 'application/cloudevents+json',
    });
    const message = await endOf(task.task_id);
    assert.deepEqual(asyncApi.faultsOfSent('publishOutput', 'TaskOutputCreated', message), []);
    assert.deepEqual(
      [message.properties.correlationId, message.properties.headers!.traceparent],
      ['order-7', traceparent],
    );
  });
}

test('task.failed after the last attempt, and its dead letter', async () => {
  await under.knobs({ status: 503 });
  const task = aTinyTask();
  const body = aReadyEvent(task);
  await under.orchestrator.publish('task.ready.tiny', json(body), {
    contentType: 'application/cloudevents+json',
    correlationId: 'c-1',
    expiration: '60000',
  });
  const failed = await endOf(task.task_id);
  assert.deepEqual(asyncApi.faultsOfSent('publishFailure', 'TaskFailed', failed), []);
  const { properties, content } = await theLetter();
  assert.deepEqual(asyncApi.faultsOfHeaders('DeadLetter', properties.headers!), []);
  const { 'x-delivery-count': _, ...ours } = properties.headers!;
  assert.deepEqual(Object.keys(ours).sort(), [
    'x-attempts',
    'x-detail',
    'x-expires-at',
    'x-queue',
    'x-reason',
  ]);
  assert.deepEqual(JSON.parse(content.toString()), body);
});

test('task.failed of a message that is no task and names a task_id, and its dead letter', async () => {
  for (const task of [
    { ...aTinyTask(), surprise: 1 },
    aTinyTask({ domain: 'cooking' }),
    aTinyTask({ tier: 'huge' }),
  ]) {
    await under.orchestrator.publish('task.ready.tiny', json(task));
    assert.deepEqual(asyncApi.faultsOfSent('publishFailure', 'TaskFailed', await endOf(task.task_id)), []);
    assert.deepEqual(asyncApi.faultsOfHeaders('DeadLetter', (await theLetter()).properties.headers!), []);
  }
});

test('a task in binary mode as the document shows it, and a bare one', async () => {
  const [example] = asyncApi.document.components.messages.TaskReadyBinary.examples;
  assert.deepEqual(asyncApi.faultsOfHeaders('TaskReadyBinary', example.headers), []);
  const task = aTinyTask();
  const headers = {
    ...example.headers,
    'cloudEvents:traceparent': traceparent,
    'cloudEvents:correlationid': 'b-1',
    'cloudEvents:expirytime': new Date(Date.now() + 60_000).toISOString(),
  };
  assert.deepEqual(asyncApi.faultsOfHeaders('TaskReadyBinary', headers), []);
  await under.orchestrator.publish('task.ready.tiny', json(task), {
    contentType: 'application/json',
    headers,
  });
  const message = await endOf(task.task_id);
  assert.deepEqual(asyncApi.faultsOfSent('publishOutput', 'TaskOutputCreated', message), []);
  assert.equal(message.properties.correlationId, 'b-1');
  const bare = aTinyTask();
  assert.deepEqual(asyncApi.faultsOfPayload('TaskReadyBare', bare), []);
  await under.orchestrator.publish('task.ready.tiny', json(bare), { contentType: 'application/json' });
  await endOf(bare.task_id);
});

test('a task that HTTP hands to the broker', async () => {
  const listener = await under.orchestrator.listen('task.ready.#');
  const task = aTinyTask();
  assert.equal((await under.execute(task, { prefer: 'respond-async', traceparent })).status, 202);
  await until(() => listener.length === 1, 'the message');
  assert.deepEqual(asyncApi.faultsOfSent('queueTask', 'TaskReady', listener[0]!), []);
  assert.deepEqual(JSON.parse(listener[0]!.content.toString()).data, task);
  await endOf(task.task_id);
});

test('every queue of the shipped configuration is in the document', () => {
  const config = loadConfig({ env: {}, domains: domainNames });
  const tiers = Object.keys(config.tier_models);
  for (const { name, arguments: given } of topologyOf(config).queues) {
    const tier = tiers.find((each) => name.endsWith(`.${each}`));
    const shown = name.replace(`.${tier}`, '.{tier}').replace(/\.\d+$/, '.{ms}');
    assert.match(asyncApi.document.info.description, new RegExp(`\`${shown.replaceAll(/[.{}]/g, '\\$&')}\``));
    assert.equal(given['x-queue-type'], 'quorum');
  }
});

test.run();
