import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { ConsumeMessage } from 'amqplib';
import { suite } from 'uvu';
import { type RabbitServer, startRabbit } from '../../bench/servers/rabbitmq.js';
import { loadConfig } from '../../config/load.js';
import { domainNames } from '../../domains/registry.js';
import { PublishGivenUp, PublishRefused } from '../../server/events/outgoing.js';
import { openPublisher } from '../../server/events/publisher.js';
import { topologyOf } from '../../server/events/topology.js';
import type { Log } from '../../server/log.js';
import { aTinyTask } from '../events/at-broker.js';
import { tell } from '../tell.js';
import { atFaults, closeAll, eventually, tinyTasks } from './at-faults.js';

const test = suite('messages that the broker refuses');
const MOST_BYTES = 6_000;
let rabbit: RabbitServer;

test.before(async () => {
  rabbit = await startRabbit([`max_message_size = ${MOST_BYTES}`]);
});
test.after.each(closeAll);
test.after(() => rabbit?.close());

const queues = 'queues: {tiny: {concurrency: 8, timeout: 60}, small: {concurrency: 2, timeout: 60}}';

test('an event that is too large for the broker holds up no other; its message becomes a dead letter', async () => {
  const under = await atFaults(rabbit, { yaml: queues });
  const { orchestrator } = under;
  await under.knobs({ perModel: { 'gemma3:12b': { outputBytes: 2 * MOST_BYTES } } });
  const fitting = tinyTasks(60);
  const large = [1, 2, 3].map(() => aTinyTask({ tier: 'small' }));
  const byHttp = aTinyTask({ tier: 'small' });
  const sending = fitting.map(async (task, at) => {
    if (at % 20 === 5) await orchestrator.ready(large[(at - 5) / 20]!);
    await orchestrator.ready(task);
  });
  assert.equal((await under.execute(byHttp)).status, 200, 'who waits for the answer has it');
  await Promise.all(sending);
  await orchestrator.outcomes(fitting.length);
  // A letter that was unconfirmed when the channel closed for another message is there twice.
  const letters = new Map<string, ConsumeMessage>();
  await eventually(async () => {
    for (const letter of await orchestrator.take(under.queue('dead')))
      letters.set(JSON.parse(letter.content.toString()).data.task_id, letter);
    return letters.size >= large.length;
  }, 'dead letters');
  // Nor do those that come later wait.
  const later = tinyTasks(20);
  for (const task of later) await orchestrator.ready(task);
  await orchestrator.outcomes(fitting.length + later.length);
  assert.deepEqual([...letters.keys()].sort(), large.map(({ task_id }) => task_id).sort());
  for (const { properties } of letters.values()) {
    assert.equal(properties.headers!['x-reason'], 'internal_error');
    assert.match(String(properties.headers!['x-detail']), /message size \d+ (is )?larger than/);
  }
  const ids = orchestrator.seen.map(({ event }) => event.data.task_id as string);
  assert.deepEqual([...new Set(ids)].sort(), [...fitting, ...later].map(({ task_id }) => task_id).sort());
  assert.equal(under.entries('publish_failed').length, large.length + 1, 'each is told of once');
  const { byTask } = await under.stats();
  for (const { task_id } of [...large, byHttp]) {
    assert.equal(byTask[task_id], 1);
    assert.equal((await under.ask('GET', `/tasks/${task_id}`)).body.status, 'completed');
  }
  tell(
    `sent ${fitting.length + later.length}, duplicates ${ids.length - new Set(ids).size}, refused ${large.length + 1}`,
  );
});

test('the bytes under way are those that are neither confirmed, nor given up, nor refused', async () => {
  const env = { RABBITMQ_HOST: rabbit.url };
  const config = loadConfig({ env, argv: [], domains: domainNames });
  const log = { info() {}, warn() {}, error() {} } as unknown as Log;
  const { rabbitmq } = config;
  const publisher = await openPublisher({ rabbitmq, topology: topologyOf(config), name: 'test', log });
  try {
    await eventually(() => publisher.open, 'connected');
    const send = (bytes: number, limitMs?: number) => {
      const content = Buffer.alloc(bytes);
      const message = { exchange: '', routingKey: 'nobody', content, options: { messageId: randomUUID() } };
      return publisher.publish(message, limitMs);
    };
    const sent = [send(1_000), send(2 * MOST_BYTES), send(500, 1)];
    assert.equal(publisher.bytesUnderWay, 1_500 + 2 * MOST_BYTES);
    const [fits, isTooLarge, hasNoTime] = await Promise.allSettled(sent);
    assert.equal(fits!.status === 'fulfilled' && fits!.value, 'unroutable');
    assert.ok(isTooLarge!.status === 'rejected' && isTooLarge!.reason instanceof PublishRefused);
    assert.ok(hasNoTime!.status === 'fulfilled' || hasNoTime!.reason instanceof PublishGivenUp);
    assert.equal(publisher.bytesUnderWay, 0);
  } finally {
    await publisher.close();
  }
});

test('a task that is too large to be queued is refused at once, with the limit of the broker', async () => {
  const under = await atFaults(rabbit, { yaml: queues });
  const description = 'word '.repeat(MOST_BYTES / 4);
  const task = aTinyTask({ description });
  const { status, body } = await under.execute(task, { prefer: 'respond-async' });
  assert.deepEqual([status, body.code], [413, 'payload_too_large']);
  assert.match(body.detail, new RegExp(`max(?:imum)? (?:allowed )?size '?${MOST_BYTES}`));
  assert.equal((await under.ask('GET', `/tasks/${task.task_id}`)).status, 404, 'nothing is noted');
  assert.equal((await under.execute(aTinyTask(), { prefer: 'respond-async' })).status, 202);
});

test.run();
