import assert from 'node:assert/strict';
import { request } from 'undici';
import { suite } from 'uvu';
import type { Problem } from '../../contracts/problem.js';
import type { HttpParts } from '../../server/http/parts.js';
import { openHttp } from '../../server/http/server.js';
import { StoreUnavailable } from '../../server/store/store.js';

const test = suite('what a route without a body makes of an error');

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

test.run();

async function receiptFrom(receipt: () => Promise<undefined>) {
  const logged: unknown[] = [];
  const http = openHttp({
    config: { server: { host: '127.0.0.1', port: 0 } },
    store: { receipt },
    isLeaving: () => false,
    metrics: { answered: () => {} },
    log: { error: (entry: unknown) => logged.push(entry) },
  } as unknown as HttpParts);
  try {
    const answer = await request(`http://127.0.0.1:${http.port}/tasks/task-1/receipt`);
    return { status: answer.statusCode, body: (await answer.body.json()) as Problem, logged };
  } finally {
    http.close();
  }
}
