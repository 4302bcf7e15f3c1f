import assert from 'node:assert/strict';
import connect from 'postgres';
import { request } from 'undici';
import { suite } from 'uvu';
import { type PostgresServer, startPostgres } from '../../bench/servers/postgres.js';
import { aTinyTask, modelCalls, queuesAreEmpty } from '../events/at-broker.js';
import { call, onlyTiny, sleep, until } from '../service/at-service.js';
import { type SharedRabbit, sharedRabbit } from '../shared-rabbit.js';
import { tell } from '../tell.js';
import {
  account,
  atNodes,
  idsOf,
  type NodesUnderTest,
  publishAll,
  type ServiceNode,
  tinyTasks,
} from './at-nodes.js';

const test = suite('two nodes on one RabbitMQ and one PostgreSQL');
let rabbit: SharedRabbit;
let postgres: PostgresServer;
let under: NodesUnderTest;
let nodes: ServiceNode[];
let databases = 0;

test.before(async () => {
  [rabbit, postgres] = await Promise.all([sharedRabbit(), startPostgres()]);
});
test.after(async () => {
  await rabbit?.close();
  await postgres.close();
});
test.before.each(async () => {
  // A database of its own: an outbox is read by whoever shares the store.
  databases++;
  const database = `nodes_${databases}`;
  const sql = connect(postgres.url);
  await sql`create database ${sql(database)}`;
  await sql.end();
  under = await atNodes(rabbit, {
    yaml: `${onlyTiny(10, 30)}\nstore: {lease_ms: 2000}`,
    databaseUrl: postgres.url.replace(/[^/]+$/, database),
  });
  nodes = await Promise.all([under.start(), under.start()]);
});
test.after.each(() => under.close());

function execute(node: ServiceNode, task: object, headers: Record<string, string> = {}) {
  return call(`${node.url}/execute`, 'POST', JSON.stringify(task), {
    'content-type': 'application/json',
    ...headers,
  });
}

test('both take part, and run each task once', async () => {
  const list = tinyTasks(400);
  await under.knobs({ ttftMs: 10 });
  await publishAll(under, list);
  await under.orchestrator.outcomes(list.length, 40_000);
  await queuesAreEmpty(rabbit, under);
  const ended = nodes.map((node) => node.log().split('"event":"task_ended"').length - 1);
  const found = await account(under, idsOf(list));
  tell('two nodes:', ended, found);
  assert.ok(ended.every((count) => count > 0));
  assert.deepEqual(
    [found.outcomes, found.distinctIds, found.duplicates, found.modelCalls],
    [400, 400, 0, 400],
  );
});

test('when both get the same task, by message and by HTTP, it runs once', async () => {
  await under.knobs({ ttftMs: 400 });
  const list = tinyTasks(10);
  const twice = await Promise.all(
    list.flatMap((task) => [
      ...nodes.map((node) => execute(node, task)),
      under.orchestrator.ready(task),
      under.orchestrator.ready(task),
    ]),
  );
  const answers = twice.filter((answer) => answer !== undefined);
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  assert.equal(new Set(answers.map(({ text }) => text)).size, list.length);
  await under.orchestrator.outcomes(list.length);
  await queuesAreEmpty(rabbit, under);
  const found = await account(under, idsOf(list));
  assert.deepEqual([found.outcomes, found.distinctIds, found.modelCalls], [10, 10, 10]);
});

test('the same task_id with another body is a conflict on the other node too', async () => {
  await under.knobs({ ttftMs: 300 });
  const [task] = tinyTasks(1) as [ReturnType<typeof aTinyTask>];
  const first = execute(nodes[0]!, task);
  await until(async () => (await modelCalls(under, task.task_id)) === 1, 'the model call');
  const other = { ...task, description: 'something else' };
  assert.equal((await execute(nodes[1]!, other)).status, 409);
  assert.equal((await execute(nodes[1]!, other, { prefer: 'respond-async' })).status, 409);
  assert.equal((await first).status, 200);
  assert.equal((await execute(nodes[1]!, other)).status, 409);
});

test('what runs on one node is seen and cancelled on the other', async () => {
  await under.knobs({ ttftMs: 20_000 });
  const [task] = tinyTasks(1) as [ReturnType<typeof aTinyTask>];
  const answer = execute(nodes[0]!, task);
  await until(async () => (await under.stats()).open === 1, 'the model call');
  const at = `${nodes[1]!.url}/tasks/${task.task_id}`;
  assert.equal((await call(at, 'GET')).body.status, 'running');
  assert.equal((await call(at, 'DELETE')).status, 202);
  assert.equal((await answer).body.code, 'cancelled');
  assert.equal((await call(at, 'GET')).body.outcome.code, 'cancelled');
});

test('a node that dies in the middle of a task hands it on when its lease has run out', async () => {
  const [runner, other] = nodes as [ServiceNode, ServiceNode];
  await other.stop();
  await under.knobs({ ttftMs: 60_000 });
  const [task] = tinyTasks(1) as [ReturnType<typeof aTinyTask>];
  await under.orchestrator.ready(task);
  await until(async () => (await under.stats()).open === 1, 'the model call');
  await under.start();
  await under.knobs({});
  await runner.kill();
  await under.orchestrator.outcomes(1);
  await queuesAreEmpty(rabbit, under);
  const found = await account(under, [task.task_id]);
  assert.deepEqual([found.outcomes, found.distinctIds, found.modelCalls], [1, 1, 2]);
});

test('SIGKILL of PostgreSQL under load: nothing is lost, and no outcome is made twice', async () => {
  const list = tinyTasks(300);
  await under.knobs({ ttftMs: 50 });
  await publishAll(under, list);
  await under.orchestrator.outcomes(50);
  await postgres.kill();
  await until(async () => (await call(`${nodes[0]!.url}/health/ready`, 'GET')).status === 503, 'not ready');
  const refused = await execute(nodes[0]!, aTinyTask());
  assert.deepEqual([refused.status, refused.body.code], [503, 'store_unavailable']);
  await postgres.start();
  await under.orchestrator.outcomes(list.length, 60_000);
  await queuesAreEmpty(rabbit, under);
  const found = await account(under, idsOf(list));
  tell('PostgreSQL killed:', found);
  assert.deepEqual([found.outcomes, found.distinctIds], [300, 300]);
  assert.equal(found.modelCalls, 300);
});

test('a rolling restart under load, HTTP and events, fails no request', async () => {
  await under.knobs({ ttftMs: 20 });
  const queued = tinyTasks(400);
  const direct: { task_id: string }[] = [];
  let rolling = true;
  const failures: unknown[] = [];
  const traffic = (async () => {
    while (rolling) {
      // As a load balancer does: only to nodes that are ready.
      const ready: ServiceNode[] = [];
      for (const node of nodes) if (await isReady(node)) ready.push(node);
      const task = aTinyTask();
      direct.push(task);
      const answer = await execute(ready[direct.length % ready.length]!, task);
      if (answer.status !== 200) failures.push(answer.text);
    }
  })();
  await publishAll(under, queued);
  for (const at of [0, 1]) {
    const old = nodes[at]!;
    const next = await under.start();
    nodes = nodes.with(at, next);
    await sleep(100);
    assert.equal(await old.stop(), 0);
  }
  rolling = false;
  await traffic;
  await under.orchestrator.outcomes(queued.length + direct.length, 60_000);
  await queuesAreEmpty(rabbit, under);
  const found = await account(under, [...idsOf(queued), ...idsOf(direct)]);
  tell('rolling restart:', found);
  assert.deepEqual(failures, []);
  assert.deepEqual([found.outcomes, found.distinctIds], [found.tasks, found.tasks]);
  assert.equal(found.modelCalls, found.tasks);
});

async function isReady(node: ServiceNode): Promise<boolean> {
  try {
    const answer = await request(`${node.url}/health/ready`);
    await answer.body.dump();
    return answer.statusCode === 200;
  } catch {
    return false;
  }
}

test.run();
