import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { type aTinyTask, queuesAreEmpty, urlThrough } from '../events/at-broker.js';
import { type FaultProxy, startProxy } from '../servers/proxy.js';
import { onlyTiny, until } from '../service/at-service.js';
import { type SharedRabbit, sharedRabbit } from '../shared-rabbit.js';
import { tell } from '../tell.js';
import { account, atNodes, idsOf, type NodesUnderTest, publishAll, tinyTasks } from './at-nodes.js';

const test = suite('a process that is killed');
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

test('in the middle of a model call: the next process executes the task', async () => {
  await under.knobs({ ttftMs: 60_000 });
  const [task] = tinyTasks(1) as [ReturnType<typeof aTinyTask>];
  const first = await under.start();
  await under.orchestrator.ready(task);
  await until(async () => (await under.stats()).open === 1, 'the model call');
  await first.kill();
  await under.knobs({});
  await under.start();
  await under.orchestrator.outcomes(1);
  await queuesAreEmpty(rabbit, under);
  assert.deepEqual(await account(under, [task.task_id]), {
    tasks: 1,
    outcomes: 1,
    distinctIds: 1,
    duplicates: 0,
    modelCalls: 2,
  });
});

/** basic.ack, class 60, method 80: from the broker a confirm, from a client the end of a delivery. */
const hasAck = (data: Buffer) => data.includes(Buffer.from([0, 60, 0, 80]));

for (const [when, trap] of [
  ['before the confirm', (proxy: FaultProxy) => proxy.cutBefore(hasAck)],
  ['after the confirm and before the ack', (proxy: FaultProxy) => proxy.cutBefore(hasAck, 'client')],
] as const) {
  test(`${when}: the outcome stands, and the model is not called again`, async () => {
    const proxy = await startProxy(rabbit.port);
    const first = await under.start({ rabbitUrl: urlThrough(proxy) });
    const [task] = tinyTasks(1) as [ReturnType<typeof aTinyTask>];
    const sprung = trap(proxy);
    await under.orchestrator.ready(task);
    await sprung;
    await first.kill();
    await proxy.close();
    await under.start();
    await under.orchestrator.outcomes(1);
    await queuesAreEmpty(rabbit, under);
    const found = await account(under, [task.task_id]);
    tell(`${when}:`, found);
    assert.deepEqual([found.outcomes, found.distinctIds, found.modelCalls], [1, 1, 1]);
  });
}

test('by SIGTERM under load: exit code 0, and every task ends once, asked of the model once', async () => {
  const list = tinyTasks(200);
  await under.knobs({ ttftMs: 50 });
  const first = await under.start();
  await publishAll(under, list);
  await under.orchestrator.outcomes(40);
  const code = await first.stop();
  assert.equal(code, 0, first.log().slice(-2000));
  assert.ok(under.orchestrator.seen.length < list.length);
  await under.start();
  await under.orchestrator.outcomes(list.length);
  await queuesAreEmpty(rabbit, under);
  assert.deepEqual(await account(under, idsOf(list)), {
    tasks: 200,
    outcomes: 200,
    distinctIds: 200,
    duplicates: 0,
    modelCalls: 200,
  });
});

test.run();
