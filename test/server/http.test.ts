import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { request } from 'undici';
import { suite } from 'uvu';
import type { Problem } from '../../contracts/problem.js';
import type { HttpParts } from '../../server/http/parts.js';
import { cancelTask } from '../../server/http/resources.js';
import { openHttp } from '../../server/http/server.js';
import { StoreUnavailable } from '../../server/store/store.js';

const test = suite('the HTTP server');

test('a store that cannot be read is store_unavailable', async () => {
  const { status, body } = await receiptFrom(() => Promise.reject(new StoreUnavailable('the disk is gone')));
  assert.deepEqual([status, body.code, body.retryable], [503, 'store_unavailable', true]);
});

test('any other error is internal_error, and nothing of it is shown', async () => {
  const { status, body, logged } = await receiptFrom(() =>
    Promise.reject(new TypeError('secret of the code')),
  );
  assert.deepEqual([status, body.code], [500, 'internal_error']);
  assert.doesNotMatch(JSON.stringify(body), /secret/);
  assert.match(JSON.stringify(logged), /secret of the code/);
});

test('who cancels a task that ends before that is noted is told of its end', async () => {
  const ends = [
    [{ status: 'completed' }, 409],
    [{ status: 'failed', code: 'refused' }, 409],
    [{ status: 'failed', code: 'cancelled' }, 202],
  ] as const;
  for (const [outcome, status] of ends) {
    let isNoted = false;
    const parts = {
      tasks: {
        cancel: () => false,
        isAwaited: () => true,
        cancelWherever: async () => {
          isNoted = true;
        },
      },
      store: { find: async () => (isNoted ? { final: true, outcome } : undefined) },
    } as unknown as HttpParts;
    assert.equal((await cancelTask(parts, 'task-1')).status, status);
  }
});

test('who was connected before the port is left is answered, though nobody had taken his connection', async () => {
  const http = openHttp(partsOf({}, []));
  const connected = new Int32Array(new SharedArrayBuffer(4));
  const caller = new Worker(CALLER, { eval: true, workerData: { port: http.port, connected } });
  const told = once(caller, 'message');
  try {
    // The event loop stands still: the kernel alone connects them.
    Atomics.wait(connected, 0, 0, 30_000);
    assert.equal(connected[0], 1);
    await http.stopListening();
    assert.match(String((await told)[0]), /^HTTP\/1\.1 200 OK/);
  } finally {
    await caller.terminate();
    http.close();
  }
});

const CALLER = `
  const { parentPort, workerData } = require('node:worker_threads');
  const socket = require('node:net').connect(workerData.port, '127.0.0.1');
  socket.on('connect', () => {
    Atomics.store(workerData.connected, 0, 1);
    Atomics.notify(workerData.connected, 0);
    socket.write('GET /health/startup HTTP/1.1\\r\\nhost: here\\r\\n\\r\\n');
  });
  socket.on('data', (data) => parentPort.postMessage(data.toString()));
  socket.on('error', (error) => parentPort.postMessage(error.message));
`;

test.run();

function partsOf(store: object, logged: unknown[]): HttpParts {
  return {
    config: { server: { host: '127.0.0.1', port: 0 } },
    store,
    isLeaving: () => false,
    metrics: { answered: () => {} },
    log: { error: (entry: unknown) => logged.push(entry) },
  } as unknown as HttpParts;
}

async function receiptFrom(receipt: () => Promise<undefined>) {
  const logged: unknown[] = [];
  const http = openHttp(partsOf({ receipt }, logged));
  try {
    const answer = await request(`http://127.0.0.1:${http.port}/tasks/task-1/receipt`);
    return { status: answer.statusCode, body: (await answer.body.json()) as Problem, logged };
  } finally {
    http.close();
  }
}
