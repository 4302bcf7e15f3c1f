import assert from 'node:assert/strict';
import type { ConsumeMessage } from 'amqplib';
import { suite } from 'uvu';
import { loadConfig } from '../../config/load.js';
import { domainNames } from '../../domains/registry.js';
import { type DeliveryParts, handleDelivery } from '../../server/events/delivery.js';
import type { Outgoing } from '../../server/events/publisher.js';
import { namesOf } from '../../server/events/topology.js';
import { aReadyEvent, aTinyTask } from './at-broker.js';

const test = suite('the note that a task waits in the broker');

test('a task that becomes a dead letter without an outcome waits no longer', async () => {
  const config = loadConfig({ env: {}, argv: [], domains: domainNames });
  const task = aTinyTask();
  const done: string[] = [];
  const outcome = { task_id: task.task_id, status: 'failed', code: 'internal_error', detail: 'a fault' };
  const parts = {
    config,
    names: namesOf(config.rabbitmq),
    tasks: {
      isAwaited: () => false,
      submit: () => ({ ended: Promise.resolve({ outcome, output: undefined, final: false }) }),
    },
    store: { dropQueued: async (taskId: string) => void done.push(`dropped ${taskId}`) },
    publisher: { keep: async ({ exchange }: Outgoing) => void done.push(`published to ${exchange}`) },
    log: { warn: () => {} },
  } as unknown as DeliveryParts;
  const message = {
    content: Buffer.from(JSON.stringify(aReadyEvent(task))),
    properties: {
      contentType: 'application/cloudevents+json',
      headers: { 'x-attempts': config.rabbitmq.max_attempts - 1 },
    },
  } as unknown as ConsumeMessage;
  assert.equal(await handleDelivery(parts, { tier: 'tiny', suspect: false, message }), 'ack');
  assert.deepEqual(done, [`dropped ${task.task_id}`, `published to ${parts.names.deadLetters}`]);
});

test.run();
