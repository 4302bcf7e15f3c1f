import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { aTinyTask, modelCalls, queuesAreEmpty } from '../events/at-broker.js';
import { call, onlyTiny, sleep } from '../service/at-service.js';
import { type SharedRabbit, sharedRabbit } from '../shared-rabbit.js';
import { tell } from '../tell.js';
import { account, atNodes, idsOf, type NodesUnderTest, publishAll, tinyTasks } from './at-nodes.js';

const test = suite('a process that is killed by a task');
let rabbit: SharedRabbit;
let under: NodesUnderTest;

test.before(async () => {
  rabbit = await sharedRabbit();
});
test.after(() => rabbit?.close());
test.before.each(async () => {
  under = await atNodes(rabbit, {
    yaml: `${onlyTiny(20, 30)}\ngateway: {max_attempts: 1}`,
  });
});
test.after.each(() => under.close());

test('the task becomes a dead letter, and those beside it succeed', async () => {
  const innocent = tinyTasks(40);
  const killer = aTinyTask();
  // Longer than a busy machine takes to see a call and kill its process: a killer that ends in time is none.
  await under.knobs({ ttftMs: 1500 });
  let node = await under.start();
  await publishAll(under, [...innocent.slice(0, 5), killer, ...innocent.slice(5)]);
  let deaths = 0;
  let watching = true;
  const watched = (async () => {
    for (let calls = 0; watching; await sleep(10)) {
      const now = await modelCalls(under, killer.task_id);
      if (now === calls) continue;
      calls = now;
      await node.kill();
      deaths++;
      node = await under.start();
    }
  })();
  const isDead = async () => (await rabbit.queues()).get(`${under.names.queuePrefix}.dead`)?.ready === 1;
  try {
    for (let i = 0; i < 300 && deaths < 20 && !(await isDead()); i++) await sleep(200);
    assert.ok(await isDead(), `after ${deaths} deaths the task is still there`);
    await under.knobs({ ttftMs: 50 });
  } finally {
    watching = false;
    await watched;
  }
  await under.orchestrator.outcomes(innocent.length + 1);
  await queuesAreEmpty(rabbit, under, ['dead']);
  const [letter, ...others] = await under.orchestrator.take(`${under.names.queuePrefix}.dead`);
  assert.equal(others.length, 0);
  assert.equal(JSON.parse(letter!.content.toString()).data.task_id, killer.task_id);
  const { 'x-reason': reason, 'x-detail': detail } = letter!.properties.headers!;
  assert.deepEqual(
    [reason, detail],
    ['internal_error', 'each process that executed the task ended before it had an outcome'],
  );
  const ends = under.orchestrator.seen.filter(({ event }) => event.data.task_id === killer.task_id);
  assert.deepEqual(
    ends.map(({ event, routingKey }) => [routingKey, event.data.code, event.data.retryable]),
    [['task.failed', 'internal_error', false]],
  );
  const { body } = await call(`${node.url}/tasks/${killer.task_id}`, 'GET');
  assert.deepEqual([body.status, body.outcome.code], ['failed', 'internal_error']);
  const found = await account(under, idsOf(innocent));
  tell(`a task that killed its process ${deaths} times, beside:`, found);
  assert.deepEqual([found.outcomes, found.distinctIds], [innocent.length, innocent.length]);
});

test.run();
