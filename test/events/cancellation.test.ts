import assert from 'node:assert/strict';
import { connect } from 'amqplib';
import { suite } from 'uvu';
import { atNodes, idsOf, type NodesUnderTest, publishAll, tinyTasks } from '../faults/at-nodes.js';
import { onlyTiny, until } from '../service/at-service.js';
import { type SharedRabbit, sharedRabbit } from '../shared-rabbit.js';
import { aTinyTask, atBroker, type BrokerUnderTest, modelCalls, queuesAreEmpty } from './at-broker.js';

const test = suite('cancellations, whenever they were sent');
let rabbit: SharedRabbit;
const opened: { close(): Promise<void> }[] = [];

test.before(async () => {
  rabbit = await sharedRabbit();
});
test.after.each(async () => {
  for (const under of opened.splice(0)) await under.close();
});
test.after(() => rabbit?.close());

const json = (value: unknown) => Buffer.from(JSON.stringify(value));

async function oneService(env: Record<string, string> = {}): Promise<BrokerUnderTest> {
  const under = await atBroker(rabbit, { yaml: onlyTiny(4, 60), env });
  opened.push(under);
  return under;
}

async function nodes(): Promise<NodesUnderTest> {
  const under = await atNodes(rabbit, { yaml: onlyTiny(4, 60) });
  opened.push(under);
  return under;
}

function cancel({ orchestrator }: Pick<BrokerUnderTest, 'orchestrator'>, task_id: string): Promise<void> {
  return orchestrator.publish('task.cancelled', json({ task_id, reason: 'superseded' }));
}

/** What each task came to, with `twice` for one that was told of more than once. */
function endsOf(
  { orchestrator }: Pick<BrokerUnderTest, 'orchestrator'>,
  taskIds: readonly string[],
): string[] {
  return taskIds.map((taskId) => {
    const events = orchestrator.seen.filter(({ event }) => event.data.task_id === taskId);
    return events.length === 1 ? (events[0]!.event.data.code ?? events[0]!.event.data.status) : 'twice';
  });
}

test('a task that is cancelled while no process is up is not executed, and has failed with cancelled once', async () => {
  const under = await oneService();
  await under.stop();
  const unwanted = aTinyTask();
  const wanted = aTinyTask();
  await under.orchestrator.ready(unwanted);
  await under.orchestrator.ready(wanted);
  await cancel(under, unwanted.task_id);
  await cancel(under, unwanted.task_id);
  await under.restart();
  await under.orchestrator.outcomes(2);
  await queuesAreEmpty(rabbit, under);
  assert.deepEqual(endsOf(under, idsOf([unwanted, wanted])), ['cancelled', 'completed']);
  assert.equal(under.orchestrator.seen.length, 2);
  assert.equal(await modelCalls(under, unwanted.task_id), 0);
  const { outcome } = (await under.ask('GET', `/tasks/${unwanted.task_id}`)).body;
  assert.equal(outcome.detail, 'the task was cancelled: superseded');
});

test('several workers start on many cancellations: none of these tasks is executed, and nothing is told twice', async () => {
  const under = await nodes();
  await (await under.start()).stop();
  const unwanted = tinyTasks(600);
  const wanted = tinyTasks(20);
  await publishAll(under, [...unwanted.slice(300), ...wanted, ...unwanted.slice(0, 300)]);
  await Promise.all(unwanted.map(({ task_id }) => cancel(under, task_id)));
  await under.start({ env: { WORKERS: '2' } });
  await under.orchestrator.outcomes(620);
  await queuesAreEmpty(rabbit, under);
  const { byTask } = await under.stats();
  assert.deepEqual(Object.keys(byTask).sort(), idsOf(wanted).sort());
  assert.deepEqual([...new Set(endsOf(under, idsOf(unwanted)))], ['cancelled']);
  assert.deepEqual([...new Set(endsOf(under, idsOf(wanted)))], ['completed']);
});

test('a process that is killed while it starts leaves the cancellations to the next one', async () => {
  const under = await nodes();
  await (await under.start()).stop();
  const unwanted = tinyTasks(300);
  await publishAll(under, unwanted);
  await Promise.all(unwanted.map(({ task_id }) => cancel(under, task_id)));
  await (await under.start()).kill();
  await under.start();
  await under.orchestrator.outcomes(300);
  await queuesAreEmpty(rabbit, under);
  assert.equal((await under.stats()).calls, 0);
  const distinct = new Set(under.orchestrator.seen.map(({ event }) => `${event.id} ${event.data.code}`));
  assert.equal(distinct.size, 300);
});

test('a cancellation that another process has taken and not noted is waited for before tasks are taken', async () => {
  const under = await oneService();
  await under.stop();
  const unwanted = aTinyTask();
  await under.orchestrator.ready(unwanted);
  await cancel(under, unwanted.task_id);
  const other = await connect(rabbit.url);
  opened.push({ close: () => other.close().catch(() => {}) });
  const channel = await other.createChannel();
  await channel.prefetch(1);
  let taken = false;
  await channel.consume(under.queue('cancelled'), () => {
    taken = true;
  });
  await until(() => taken, 'the cancellation is in other hands');
  await under.restart();
  await until(
    async () => (await channel.checkQueue(under.queue('cancelled'))).messageCount === 1,
    'the service has asked to be told when it is noted',
  );
  await other.close();
  await under.orchestrator.outcomes(1);
  assert.deepEqual(endsOf(under, [unwanted.task_id]), ['cancelled']);
  assert.equal(await modelCalls(under, unwanted.task_id), 0);
});

test('a service that stops while it asks whether all is noted leaves no question behind', async () => {
  const under = await oneService();
  await under.stop();
  const [other, watcher] = [await connect(rabbit.url), await connect(rabbit.url)];
  for (const each of [other, watcher]) opened.push({ close: () => each.close().catch(() => {}) });
  await (await other.createChannel()).consume(under.queue('cancelled'), () => {});
  await under.restart();
  await until(
    async () => (await rabbit.queues()).get(under.queue('cancelled'))?.unacked === 1,
    'the service has asked',
  );
  const stopped = under.stop();
  await other.close();
  await stopped;
  // At once, because it would go after a while.
  const { messageCount } = await (await watcher.createChannel()).checkQueue(under.queue('cancelled'));
  assert.equal(messageCount, 0);
});

test('a task that runs is cancelled while the service stops', async () => {
  const under = await oneService({ GRACE_PERIOD_MS: '60000' });
  await under.knobs({ ttftMs: 60_000 });
  const task = aTinyTask();
  await under.orchestrator.ready(task);
  await until(async () => (await under.stats()).open === 1, 'the model call');
  const stopped = under.stop();
  await until(
    async () => (await rabbit.queues()).get(under.queue('ready.tiny'))!.consumers === 0,
    'no more tasks are taken',
  );
  await cancel(under, task.task_id);
  await stopped;
  await under.orchestrator.outcomes(1);
  assert.deepEqual(endsOf(under, [task.task_id]), ['cancelled']);
});

test('a cancellation whose reason is too large for the event loop counts without it', async () => {
  const under = await oneService();
  await under.stop();
  const task = aTinyTask();
  await under.orchestrator.ready(task);
  const reason = 'because '.repeat(5_000);
  await under.orchestrator.publish('task.cancelled', json({ task_id: task.task_id, reason }));
  await under.restart();
  await under.orchestrator.outcomes(1);
  assert.equal(under.orchestrator.seen[0]!.event.data.detail, 'the task was cancelled');
});

test.run();
