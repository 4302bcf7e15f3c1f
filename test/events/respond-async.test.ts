import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { startPostgres } from '../../bench/servers/postgres.js';
import { atNodes } from '../faults/at-nodes.js';
import { type FaultProxy, startProxy } from '../servers/proxy.js';
import { type Answer, atService, call, onlyTiny, until } from '../service/at-service.js';
import { OpenApi } from '../service/documented.js';
import { type SharedRabbit, sharedRabbit } from '../shared-rabbit.js';
import { aTinyTask, atBroker, type BrokerUnderTest, modelCalls, queuesAreEmpty } from './at-broker.js';

const test = suite('Prefer: respond-async');
const openApi = new OpenApi();
let rabbit: SharedRabbit;
let proxy: FaultProxy;
let under: BrokerUnderTest;

test.before(async () => {
  rabbit = await sharedRabbit();
  proxy = await startProxy(rabbit.port);
  under = await atBroker(rabbit, {
    yaml: `gateway: {max_attempts: 1}\n${onlyTiny(1, 20)}`,
    rabbitmq: ['max_attempts: 1', 'confirm_timeout_ms: 5000', 'reconnect_max_ms: 300'],
    serviceUrl: rabbit.url.replace(String(rabbit.port), String(proxy.port)),
  });
});
test.after(async () => {
  await under.close();
  await proxy.close();
  await rabbit?.close();
});
test.before.each(() => under.knobs({}));

/** Each answer is also checked against contracts/openapi.yaml. */
async function queue(task: object, prefer = 'respond-async'): Promise<Answer> {
  const answer = await under.execute(task, { prefer });
  assert.deepEqual(openApi.faults({ path: '/execute', method: 'POST' }, answer), []);
  return answer;
}

async function status(taskId: string): Promise<string> {
  const answer = await under.ask('GET', `/tasks/${taskId}`);
  assert.deepEqual(openApi.faults({ path: '/tasks/{task_id}', method: 'GET' }, answer), []);
  return answer.status === 200 ? answer.body.status : String(answer.status);
}

const reaches = (taskId: string, wanted: string) =>
  until(async () => (await status(taskId)) === wanted, `${taskId} ${wanted}`);

/** Takes the one slot of the tier until the model answers. */
async function aBusyTier(ttftMs: number): Promise<string> {
  await under.knobs({ ttftMs });
  const task = aTinyTask();
  await queue(task);
  // It runs before it calls the model, which may have other knobs by then.
  await until(async () => (await modelCalls(under, task.task_id)) === 1, 'the model call');
  assert.equal(await status(task.task_id), 'running');
  return task.task_id;
}

test('202 with Location and Preference-Applied; the outcome is found there, and published', async () => {
  const task = aTinyTask();
  const answer = await queue(task);
  assert.equal(answer.status, 202);
  assert.deepEqual(answer.body, { task_id: task.task_id, status: 'queued' });
  assert.equal(answer.headers.location, `/tasks/${task.task_id}`);
  assert.equal(answer.headers['preference-applied'], 'respond-async');
  await reaches(task.task_id, 'completed');
  const { body } = await under.ask('GET', answer.headers.location as string);
  const seen = (await under.orchestrator.outcomes(1)).get(task.task_id)!;
  assert.deepEqual(seen[0]!.event.data, body.outcome);
});

test('below the prefix the Location has the prefix', async () => {
  const task = aTinyTask();
  const { headers } = await call(`${under.url}/api/v1/execute`, 'POST', JSON.stringify(task), {
    'content-type': 'application/json',
    prefer: 'wait=5, respond-async; foo=bar',
  });
  assert.equal(headers.location, `/api/v1/tasks/${task.task_id}`);
  await reaches(task.task_id, 'completed');
});

test('the answer waits for the confirm of the broker', async () => {
  const task = aTinyTask();
  proxy.delay(300);
  try {
    const at = performance.now();
    assert.equal((await queue(task)).status, 202);
    assert.ok(performance.now() - at >= 590, `${performance.now() - at} ms`);
  } finally {
    proxy.delay(0);
  }
  await reaches(task.task_id, 'completed');
});

test('the status goes queued, running, completed; another body meanwhile is a conflict', async () => {
  const first = await aBusyTier(60_000);
  await under.knobs({ ttftMs: 500 });
  const task = aTinyTask();
  assert.equal((await queue(task)).status, 202);
  assert.equal(await status(task.task_id), 'queued');
  assert.equal((await queue({ ...task, description: 'Something else' })).body.code, 'task_conflict');
  await under.ask('DELETE', `/tasks/${first}`);
  await reaches(task.task_id, 'running');
  await reaches(task.task_id, 'completed');
});

test('a task that was taken with 202 gives way to no other body, however that one comes', async () => {
  const first = await aBusyTier(60_000);
  await under.knobs({});
  const task = aTinyTask();
  assert.equal((await queue(task)).status, 202);
  const other = { ...task, description: 'Something else' };
  assert.equal((await under.execute(other)).body.code, 'task_conflict');
  await under.orchestrator.ready(other);
  await under.ask('DELETE', `/tasks/${first}`);
  await reaches(task.task_id, 'completed');
  assert.equal((await under.execute(task)).status, 200);
  await until(async () => (await under.orchestrator.take(under.queue('dead'))).length === 1, 'the other one');
});

test('a task that fails for good has its outcome at the Location', async () => {
  await under.knobs({ status: 503 });
  const task = aTinyTask();
  await queue(task);
  await reaches(task.task_id, 'failed');
  const { body } = await under.ask('GET', `/tasks/${task.task_id}`);
  assert.deepEqual([body.outcome.code, body.outcome.retryable], ['gateway_unavailable', false]);
  assert.equal((await queue(task)).status, 503);
  await until(async () => (await under.orchestrator.take(under.queue('dead'))).length === 1, 'its letter');
});

test('the same request twice is executed once, and answered at once when it is completed', async () => {
  await under.knobs({ ttftMs: 200 });
  const task = aTinyTask();
  assert.deepEqual(
    (await Promise.all([queue(task), queue(task)])).map(({ status }) => status),
    [202, 202],
  );
  await reaches(task.task_id, 'completed');
  const again = await queue(task);
  assert.deepEqual([again.status, again.body.status, again.body.task_id], [200, 'completed', task.task_id]);
  assert.equal(again.headers['preference-applied'], undefined);
  assert.equal((await queue({ ...task, description: 'Something else' })).status, 409);
  assert.equal(await modelCalls(under, task.task_id), 1);
});

test('what is no task is refused, and nothing is queued', async () => {
  assert.equal((await queue(aTinyTask({ domain: 'cooking' }))).body.code, 'unknown_domain');
  assert.equal((await queue({ task_id: 'x' })).body.code, 'invalid_request');
});

test('DELETE of a queued task: it is never executed, and has failed with cancelled', async () => {
  const first = await aBusyTier(60_000);
  const task = aTinyTask();
  await queue(task);
  const answer = await under.ask('DELETE', `/tasks/${task.task_id}`);
  assert.deepEqual([answer.status, answer.body.status], [202, 'cancelling']);
  // Its message gets its turn when the slot is free.
  await under.ask('DELETE', `/tasks/${first}`);
  await reaches(task.task_id, 'failed');
  assert.equal((await under.ask('GET', `/tasks/${task.task_id}`)).body.outcome.code, 'cancelled');
  await reaches(first, 'failed');
  assert.equal(await modelCalls(under, task.task_id), 0);
});

test('without a broker in the configuration the preference is passed over', async () => {
  const alone = await atService();
  const answer = await alone.execute(aTinyTask(), { prefer: 'respond-async' });
  assert.deepEqual([answer.status, answer.body.status], [200, 'completed']);
  assert.equal(answer.headers['preference-applied'], undefined);
  await alone.close();
});

test('any node of a shared store knows the task, and may cancel it', async () => {
  const postgres = await startPostgres();
  const nodes = await atNodes(rabbit, {
    yaml: onlyTiny(1, 20),
    databaseUrl: postgres.url,
  });
  try {
    const [first, second] = await Promise.all([nodes.start(), nodes.start()]);
    const post = (task: object) =>
      call(`${first.url}/execute`, 'POST', JSON.stringify(task), {
        'content-type': 'application/json',
        prefer: 'respond-async',
      });
    const seenBySecond = async (taskId: string) =>
      (await call(`${second.url}/tasks/${taskId}`, 'GET')).body.status as string;
    await nodes.knobs({ ttftMs: 60_000 });
    const running = [aTinyTask(), aTinyTask()];
    for (const task of running) assert.equal((await post(task)).status, 202);
    for (const { task_id } of running)
      await until(async () => (await seenBySecond(task_id)) === 'running', `${task_id} runs`);
    await until(async () => (await nodes.stats()).open === 2, 'both model calls');
    await nodes.knobs({});
    const [waiting, unwanted] = [aTinyTask(), aTinyTask()];
    for (const task of [waiting, unwanted]) assert.equal((await post(task)).status, 202);
    assert.equal(await seenBySecond(waiting.task_id), 'queued');
    assert.equal((await call(`${second.url}/tasks/${unwanted.task_id}`, 'DELETE')).status, 202);
    for (const { task_id } of running)
      assert.equal((await call(`${second.url}/tasks/${task_id}`, 'DELETE')).status, 202);
    for (const { task_id } of [...running, unwanted])
      await until(async () => (await seenBySecond(task_id)) === 'failed', `${task_id} is cancelled`);
    await until(async () => (await seenBySecond(waiting.task_id)) === 'completed', 'the one that waited');
    const { calls } = await nodes.stats();
    assert.equal(calls, 3);
  } finally {
    await nodes.close();
    await postgres.close();
  }
});

test('with the broker out of reach: 503 broker_unavailable, and no trace of a queued task', async () => {
  await queuesAreEmpty(rabbit, under);
  proxy.refuse();
  const task = aTinyTask();
  const answer = await queue(task);
  assert.deepEqual(
    [answer.status, answer.body.code, answer.body.retryable],
    [503, 'broker_unavailable', true],
  );
  assert.equal(await status(task.task_id), '404');
  assert.equal((await under.execute(aTinyTask())).status, 200);
  proxy.accept();
  await until(async () => (await queue(task)).status === 202, 'the broker takes tasks again');
  await reaches(task.task_id, 'completed');
});

test.run();
