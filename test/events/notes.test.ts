import assert from 'node:assert/strict';
import type { ConsumeMessage } from 'amqplib';
import { suite } from 'uvu';
import { loadConfig } from '../../config/load.js';
import { domainNames } from '../../domains/registry.js';
import { type DeliveryParts, handleDelivery } from '../../server/events/delivery.js';
import type { Outgoing } from '../../server/events/publisher.js';
import { namesOf } from '../../server/events/topology.js';
import { StoreUnavailable } from '../../server/store/store.js';
import { aReadyEvent, aTinyTask } from './at-broker.js';

const test = suite('the note that a task waits in the broker');

const config = loadConfig({ env: {}, argv: [], domains: domainNames });

/** What becomes of the attempt that follows `attempts` others, of a task that fails without a final outcome. */
async function attempt(code: string, attempts: number, store: Partial<DeliveryParts['store']>) {
  const task = aTinyTask();
  const done: string[] = [];
  const outcome = { task_id: task.task_id, status: 'failed', code, detail: 'a fault' };
  const parts = {
    config,
    names: namesOf(config.rabbitmq),
    tasks: {
      isAwaited: () => false,
      submit: () => {
        done.push('executed');
        return { ended: Promise.resolve({ outcome, output: undefined, final: false }) };
      },
    },
    store: {
      dropQueued: async () => void done.push('dropped the note'),
      state: () => ({ ok: true }),
      ...store,
    },
    publisher: { keep: async ({ exchange }: Outgoing) => void done.push(`published to ${exchange}`) },
    log: { warn: () => {} },
    isClosing: () => false,
  } as unknown as DeliveryParts;
  const message = {
    content: Buffer.from(JSON.stringify(aReadyEvent(task))),
    properties: { contentType: 'application/cloudevents+json', headers: { 'x-attempts': attempts } },
  } as unknown as ConsumeMessage;
  assert.equal(await handleDelivery(parts, { tier: 'tiny', suspect: false, message }), 'ack');
  return { done, names: parts.names };
}

test('a task that becomes a dead letter without an outcome waits no longer', async () => {
  const { done, names } = await attempt('internal_error', config.rabbitmq.max_attempts - 1, {});
  assert.deepEqual(done, ['executed', 'dropped the note', `published to ${names.deadLetters}`]);
});

test('a store that does not take the note does not make the next attempt come at once', async () => {
  const { done, names } = await attempt('gateway_unavailable', 0, {
    noteQueued: () => Promise.reject(new StoreUnavailable('away')),
  });
  assert.deepEqual(done, ['executed', `published to ${names.delay(config.rabbitmq.retry_delays_ms[0]!)}`]);
});

test.run();
