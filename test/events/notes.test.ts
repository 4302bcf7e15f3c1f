import assert from 'node:assert/strict';
import type { ConsumeMessage } from 'amqplib';
import { suite } from 'uvu';
import { loadConfig } from '../../config/load.js';
import { parseEvent } from '../../contracts/parse-event.js';
import { parseTask } from '../../contracts/parse-task.js';
import { domainNames } from '../../domains/registry.js';
import { type AcceptanceParts, acceptTask } from '../../server/events/acceptance.js';
import { handleDelivery } from '../../server/events/delivery.js';
import type { DeliveryParts } from '../../server/events/delivery-parts.js';
import type { Outgoing } from '../../server/events/outgoing.js';
import { namesOf } from '../../server/events/topology.js';
import { type ResolvedTask, resolve } from '../../server/resolution.js';
import { StoreUnavailable } from '../../server/store/store.js';
import { aReadyEvent, aTinyTask } from './at-broker.js';

const test = suite('the note that a task waits in the broker');

const MIB = 1024 * 1024;
const config = loadConfig({ env: {}, argv: [], domains: domainNames });

function resolvedTask(): ResolvedTask {
  const parsed = parseTask(Buffer.from(JSON.stringify(aTinyTask())));
  assert.ok(parsed.kind === 'task');
  const resolved = resolve(config, parsed);
  assert.ok('task' in resolved);
  return resolved;
}

/**
 * What becomes of the attempt that follows `attempts` others, of a task that fails without a final outcome, or is a
 * `conflict`.
 */
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
        if (code === 'conflict') return { conflict: true };
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

test('a task that turns out to be another one waits no longer', async () => {
  const { done, names } = await attempt('conflict', 0, {});
  assert.deepEqual(done, ['dropped the note', `published to ${names.deadLetters}`]);
});

test('once a body was executed it may be sent to the broker, which has had another one meanwhile', async () => {
  const [task, other] = [resolvedTask(), resolvedTask()];
  const noted: string[] = [];
  const parts = {
    config,
    names: namesOf(config.rabbitmq),
    tasks: { conflicts: () => false },
    store: {
      find: async () => ({ requestHash: task.requestHash, final: false }),
      pending: async () => ({ queuedHash: other.requestHash }),
      noteQueued: async (_: string, requestHash: string) => void noted.push(requestHash),
    },
    publisher: { publish: async () => 'confirmed' },
  } as unknown as AcceptanceParts;
  assert.equal(await acceptTask(parts, task, Buffer.from('{}'), undefined), 'queued');
  assert.equal(await acceptTask(parts, other, Buffer.from('{}'), undefined), 'conflict');
  assert.deepEqual(noted, [task.requestHash]);
});

test('a request that found its task noted notes it again, for the one that made the note may have taken it back', async () => {
  const task = resolvedTask();
  let noted = [task.requestHash];
  const parts = {
    config,
    names: namesOf(config.rabbitmq),
    tasks: { conflicts: () => false },
    store: {
      find: async () => undefined,
      pending: async () => ({ queuedHash: noted[0] }),
      noteQueued: async (_: string, requestHash: string) => {
        noted = [requestHash];
      },
    },
    publisher: {
      publish: async () => {
        noted = [];
        return 'confirmed';
      },
    },
  } as unknown as AcceptanceParts;
  assert.equal(await acceptTask(parts, task, Buffer.from('{}'), undefined), 'queued');
  assert.deepEqual(noted, [task.requestHash]);
});

test('while too much waits for the broker no more is taken, and nothing is noted of it', async () => {
  const task = resolvedTask();
  const noted: string[] = [];
  const accept = (bytesUnderWay: number, bytes: number) =>
    acceptTask(
      {
        config: { ...config, rabbitmq: { ...config.rabbitmq, max_message_bytes: 128 * MIB } },
        names: namesOf(config.rabbitmq),
        tasks: { conflicts: () => false, conflictsElsewhere: async () => false },
        store: {
          find: async () => undefined,
          pending: async () => undefined,
          noteQueued: async (taskId: string) => void noted.push(taskId),
        },
        publisher: { bytesUnderWay, publish: async () => 'confirmed' },
      } as unknown as AcceptanceParts,
      task,
      Buffer.alloc(bytes, ' '),
      undefined,
    );
  assert.deepEqual(await accept(63 * MIB, MIB), {
    unavailable: `${63 * MIB} bytes wait for the broker already`,
  });
  assert.deepEqual(noted, []);
  assert.equal(await accept(62 * MIB, MIB), 'queued');
  assert.equal(await accept(0, 65 * MIB), 'queued', 'one that is larger is taken when nothing waits');
});

test('a body that begins with a byte order mark is the same task for the consumer', async () => {
  const task = resolvedTask();
  const sent: Outgoing[] = [];
  const parts = {
    config,
    names: namesOf(config.rabbitmq),
    tasks: { conflicts: () => false, conflictsElsewhere: async () => false },
    store: { find: async () => undefined, pending: async () => undefined, noteQueued: async () => {} },
    publisher: {
      publish: async (message: Outgoing) => {
        sent.push(message);
        return 'confirmed';
      },
    },
  } as unknown as AcceptanceParts;
  const body = Buffer.from(`\uFEFF${JSON.stringify(task.task)}`);
  assert.equal(await acceptTask(parts, task, body, undefined), 'queued');
  const [{ content, options }] = sent as [Outgoing];
  const { parsed } = parseEvent({ body: content, contentType: options.contentType, headers: {} });
  assert.ok(parsed.kind === 'task');
  assert.equal(parsed.task.task_id, task.task.task_id);
});

test('a store that does not take the note does not make the next attempt come at once', async () => {
  const { done, names } = await attempt('gateway_unavailable', 0, {
    noteQueued: () => Promise.reject(new StoreUnavailable('away')),
  });
  assert.deepEqual(done, ['executed', `published to ${names.delay(config.rabbitmq.retry_delays_ms[0]!)}`]);
});

test.run();
