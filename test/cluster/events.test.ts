import assert from 'node:assert/strict';
import { request } from 'undici';
import { suite } from 'uvu';
import {
  anOrchestrator,
  aTinyTask,
  freshNames,
  type Orchestrator,
  queuesAreEmpty,
  rabbitmqSection,
} from '../events/at-broker.js';
import { onlyTiny, until } from '../service/at-service.js';
import { type SharedRabbit, sharedRabbit } from '../shared-rabbit.js';
import { tell } from '../tell.js';
import { atCluster, type ClusterUnderTest } from './at-cluster.js';

const test = suite('a cluster on a broker');
const names = freshNames();
let rabbit: SharedRabbit;
let orchestrator: Orchestrator;
let under: ClusterUnderTest;

test.before(async () => {
  rabbit = await sharedRabbit();
  orchestrator = await anOrchestrator(rabbit.url, names);
  under = await atCluster(`${onlyTiny(6, 30)}\n${rabbitmqSection(names)}`, {
    RABBITMQ_HOST: rabbit.url,
  });
  await until(() => under.times('broker_connected') === 4, 'both workers connected, each twice');
});
test.after(async () => {
  await under.close();
  await orchestrator.close();
  await rabbit?.close();
});
test.before.each(async () => {
  await under.knobs({ ttftMs: 20 });
  orchestrator.seen.length = 0;
});

test('runs no more of a tier at once than one process would', async () => {
  const tasks = Array.from({ length: 120 }, () => aTinyTask());
  await Promise.all(tasks.map((task) => orchestrator.ready(task)));
  await orchestrator.outcomes(tasks.length);
  const { maxOpen, byTask } = await under.stats();
  assert.ok(maxOpen <= 6, `${maxOpen} at once`);
  assert.deepEqual([...new Set(tasks.map(({ task_id }) => byTask[task_id]))], [1]);
  assert.equal(orchestrator.seen.length, tasks.length);
});

test('takes no other body of a task that runs, through whichever worker it comes', async () => {
  await under.knobs({ ttftMs: 60_000 });
  const task = aTinyTask();
  await orchestrator.ready(task);
  await until(async () => (await under.stats()).open === 1, 'the model call');
  // Of each a connection of its own, which the kernel gives to either worker.
  const others = await Promise.all(
    Array.from({ length: 16 }, async () => {
      const { statusCode, body } = await request(`${under.url}/execute`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', prefer: 'respond-async' },
        body: JSON.stringify({ ...task, description: 'something else' }),
        reset: true,
      });
      await body.dump();
      return statusCode;
    }),
  );
  assert.deepEqual([...new Set(others)], [409]);
  await (await request(`${under.url}/tasks/${task.task_id}`, { method: 'DELETE' })).body.dump();
  await orchestrator.outcomes(1);
});

test('loses nothing when a worker is killed, and ends each task once', async () => {
  const tasks = Array.from({ length: 200 }, () => aTinyTask());
  await Promise.all(tasks.map((task) => orchestrator.ready(task)));
  await orchestrator.outcomes(40);
  process.kill(under.workers()[0]!, 'SIGKILL');
  await orchestrator.outcomes(tasks.length);
  await queuesAreEmpty(rabbit, { names });
  const { byTask } = await under.stats();
  const modelCalls = tasks.reduce((sum, { task_id }) => sum + byTask[task_id]!, 0);
  const ids = new Set(orchestrator.seen.map(({ event }) => event.id));
  tell({ tasks: tasks.length, ids: ids.size, seen: orchestrator.seen.length, modelCalls });
  assert.equal(ids.size, tasks.length);
  assert.ok(modelCalls <= tasks.length + 6);
});

test.run();
