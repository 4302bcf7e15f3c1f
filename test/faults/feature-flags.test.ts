import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { type RabbitServer, startRabbit } from '../../bench/servers/rabbitmq.js';
import { atFaults, closeAll, eventually, nothingIsLost, tinyTasks } from './at-faults.js';

const test = suite('feature flags of the broker');
let rabbit: RabbitServer;

test.before(async () => {
  // As on a broker that was upgraded from before 3.9, and nobody has enabled what is new.
  rabbit = await startRabbit([], ['quorum_queue', 'implicit_default_bindings', 'virtual_host_metadata']);
});
test.after.each(closeAll);
test.after(() => rabbit?.close());

test('a broker that dead-letters at most once is told of in the log, until its flag is enabled', async () => {
  const under = await atFaults(rabbit, {});
  await eventually(() => under.entries('dead_letters_at_most_once').length > 0, 'the warning');
  const tasks = tinyTasks(3);
  for (const task of tasks) await under.orchestrator.ready(task);
  await nothingIsLost(under, tasks);
  assert.equal(under.entries('broker_lost').length, 0);
  await rabbit.control('enable_feature_flag', 'stream_queue');
  const after = await atFaults(rabbit, {});
  await eventually(() => after.entries('dead_letters_at_least_once').length > 0, 'the end of the warning');
  assert.equal(after.entries('dead_letters_at_most_once').length, 0);
});

test.run();
