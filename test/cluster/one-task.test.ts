import assert from 'node:assert/strict';
import { Agent, request } from 'undici';
import { suite } from 'uvu';
import { aTask, onlyTiny, until } from '../service/at-service.js';
import { atCluster, type ClusterUnderTest } from './at-cluster.js';

const test = suite('one task that both workers of a node are asked for');
let under: ClusterUnderTest;

test.before(async () => {
  under = await atCluster(onlyTiny(10, 30));
});
test.after(() => under.close());
test.before.each(() => under.knobs({}));

/** On a connection of its own, so that the kernel spreads the requests over the workers. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
async function ask(method: 'POST' | 'GET' | 'DELETE', path: string, task?: object): Promise<[number, any]> {
  const dispatcher = new Agent({ pipelining: 0 });
  try {
    const { statusCode, body } = await request(under.url + path, {
      method,
      dispatcher,
      headers: { 'content-type': 'application/json' },
      ...(task !== undefined && { body: JSON.stringify(task) }),
    });
    return [statusCode, await body.json()];
  } finally {
    await dispatcher.close();
  }
}

const times = <T>(count: number, make: (at: number) => T) =>
  Array.from({ length: count }, (_, at) => make(at));

test('DELETE cancels it for all, whichever worker hears of it', async () => {
  await under.knobs({ ttftMs: 20_000 });
  for (let round = 0; round < 6; round++) {
    const task = aTask({ tier: 'tiny' });
    const callers = times(8, () => ask('POST', '/execute', task));
    await until(async () => (await under.stats()).byTask[task.task_id] === 1, 'the model call');
    assert.equal((await ask('DELETE', `/tasks/${task.task_id}`))[0], 202);
    for (const [status, body] of await Promise.all(callers))
      assert.deepEqual([status, body.code, body.retryable], [409, 'cancelled', false]);
    const [, state] = await ask('GET', `/tasks/${task.task_id}`);
    assert.deepEqual([state.status, state.outcome.code], ['failed', 'cancelled']);
  }
});

test('one that has completed is nothing else while it is repeated, with its body and with others', async () => {
  const task = aTask({ tier: 'tiny' });
  const [, outcome] = await ask('POST', '/execute', task);
  for (let round = 0; round < 10; round++) {
    const right = times(10, () => ask('POST', '/execute', task));
    const wrong = times(10, (at) => ask('POST', '/execute', { ...task, description: `other ${at}` }));
    const states = times(10, () => ask('GET', `/tasks/${task.task_id}`));
    const cancellations = times(5, () => ask('DELETE', `/tasks/${task.task_id}`));
    for (const answer of await Promise.all(right)) assert.deepEqual(answer, [200, outcome]);
    for (const [status, body] of await Promise.all([...wrong, ...cancellations]))
      assert.deepEqual([status, body.code], [409, 'task_conflict']);
    for (const [, state] of await Promise.all(states)) assert.equal(state.status, 'completed');
  }
  assert.equal((await under.stats()).byTask[task.task_id], 1);
});

test('of many bodies at once one is the task, and all who sent that one get its outcome', async () => {
  await under.knobs({ ttftMs: 200 });
  const task = aTask({ tier: 'tiny' });
  const answers = await Promise.all(
    times(100, async (at) => {
      const [status, body] = await ask('POST', '/execute', { ...task, description: `body ${at % 10}` });
      return { sent: at % 10, status, code: body.code };
    }),
  );
  const right = answers.find(({ status }) => status === 200)?.sent;
  assert.ok(right !== undefined);
  for (const { sent, status, code } of answers)
    assert.deepEqual([status, code], sent === right ? [200, undefined] : [409, 'task_conflict']);
  assert.equal((await under.stats()).byTask[task.task_id], 1);
});

test.run();
