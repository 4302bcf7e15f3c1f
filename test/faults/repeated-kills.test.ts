import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { queuesAreEmpty } from '../events/at-broker.js';
import { onlyTiny, sleep } from '../service/at-service.js';
import { type SharedRabbit, sharedRabbit } from '../shared-rabbit.js';
import { tell } from '../tell.js';
import { account, atNodes, idsOf, type NodesUnderTest, publishAll, tinyTasks } from './at-nodes.js';

const test = suite('a process that is killed again and again');
let rabbit: SharedRabbit;
let under: NodesUnderTest;

test.before(async () => {
  rabbit = await sharedRabbit();
  under = await atNodes(rabbit, {
    yaml: `${onlyTiny(20, 30)}\ngateway: {max_attempts: 1}`,
  });
});
test.after(async () => {
  await under.close();
  await rabbit?.close();
});

test('every two seconds, during 2,000 tasks, loses none and ends each once', async () => {
  const list = tinyTasks(2000);
  let node = await under.start();
  await under.knobs({ ttftMs: 5 });
  await publishAll(under, list);
  let kills = 0;
  // Without those that come again, or the last ones would never be given their two seconds.
  const outcomes = () => new Set(under.orchestrator.seen.map(({ event }) => event.id)).size;
  while (outcomes() < list.length) {
    assert.ok(kills < 60, `too slow: ${outcomes()} outcomes`);
    const until = Date.now() + 2000;
    while (Date.now() < until && outcomes() < list.length) await sleep(20);
    await node.kill();
    kills++;
    node = await under.start();
  }
  await queuesAreEmpty(rabbit, under);
  const found = await account(under, idsOf(list));
  tell(`SIGKILL ${kills} times:`, found);
  assert.deepEqual([found.outcomes, found.distinctIds], [list.length, list.length]);
  // Only what ran when the process died is asked of the model again.
  assert.ok(found.modelCalls <= list.length + kills * 21);
});

test.run();
