import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { aSlowReader, aTask, call, onlyTiny, readToEnd, sleep, until } from '../service/at-service.js';
import { atCluster } from './at-cluster.js';

const test = suite('a reload while answers are read slowly');

test('who reads more slowly than the grace period is long gets all of his answer', async () => {
  const content = 'some words of text. '.repeat(600_000); // 12 MB, more than sockets and buffers hold
  const under = await atCluster(
    `${onlyTiny(4, 60)}
output: {max_bytes: 67108864}
models: {"gemma3:4b": {context_window: 20000000, max_output_tokens: 15000000}}`,
    { GRACE_PERIOD_MS: '200' },
  );
  try {
    await under.knobs({ output: JSON.stringify({ content, artifacts: [], summary: 's' }), chunks: 1 });
    const task = aTask({ domain: 'documentation', tier: 'tiny' });
    const readers = ['application/json', 'text/event-stream'].map((accept) =>
      aSlowReader(under, task, accept),
    );
    const status = async () => (await call(`${under.url}/tasks/${task.task_id}`, 'GET')).body.status;
    await until(async () => (await status()) === 'completed', 'its end');
    const before = under.workers();
    under.primary.kill('SIGHUP');
    await until(() => under.workers().filter((pid) => !before.includes(pid)).length === 2, 'new workers');
    // The old ones have had all the time that they would need without readers.
    await sleep(4000);
    for (const socket of readers) {
      const received = await readToEnd(socket);
      assert.ok(received > content.length, `${received} bytes of an answer of ${content.length}`);
    }
    await until(() => under.times('reloaded') === 1, 'the end of the reload');
  } finally {
    await under.close();
  }
});

test.run();
