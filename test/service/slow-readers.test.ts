import assert from 'node:assert/strict';
import { once } from 'node:events';
import { suite } from 'uvu';
import { aSlowReader, aTask, atService, readToEnd, type ServiceUnderTest, sleep } from './at-service.js';

const test = suite('callers who read more slowly than is written');
const forms = ['application/json', 'text/event-stream'];
const content = 'some words of text. '.repeat(600_000); // 12 MB, more than sockets and buffers hold
let service: ServiceUnderTest;

/** A service that has completed a task with a large output. */
async function withLargeOutput(yaml: string): Promise<object> {
  service = await atService(`${yaml}
output: {max_bytes: 67108864}
models: {"gemma3:12b": {context_window: 20000000, max_output_tokens: 15000000}}`);
  await service.knobs({ output: JSON.stringify({ content, artifacts: [], summary: 's' }), chunks: 1 });
  const task = aTask({ domain: 'documentation' });
  assert.equal((await service.execute(task)).status, 200);
  return task;
}

test.after.each(() => service.close());

test('who reads nothing for longer than the HTTP library is patient gets all of his answer', async () => {
  const task = await withLargeOutput('');
  const readers = forms.map((accept) => aSlowReader(service, task, accept));
  await sleep(PATIENCE_MS);
  for (const socket of readers) {
    const received = await readToEnd(socket);
    assert.ok(received > content.length, `${received} bytes of an answer of ${content.length}`);
  }
});

test('who reads nothing for longer than he may loses his connection', async () => {
  const task = await withLargeOutput('server: {write_timeout_ms: 300}');
  for (const accept of forms) {
    const socket = aSlowReader(service, task, accept);
    let received = 0;
    await sleep(1000);
    socket.on('data', (part) => {
      received += part.length;
    });
    // It is cut off, or at its end.
    const closed = once(socket, 'close');
    socket.on('error', () => {});
    socket.resume();
    await closed;
    assert.ok(received < content.length, `${received} bytes of ${accept}`);
  }
  assert.equal((await service.execute(task)).status, 200);
});

test.run();

/** It waits 10 s, and its clock ticks every 4 s. */
const PATIENCE_MS = 16_000;
