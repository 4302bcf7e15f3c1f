import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { suite } from 'uvu';
import { freePort } from '../../bench/servers/processes.js';
import { aTask, atService, oneTier, type ServiceUnderTest, until } from './at-service.js';

const test = suite('health');
let service: ServiceUnderTest;

test.after.each(() => service.close());

test('it says of each dependency how it is, since when and why, and what the service has to do without', async () => {
  // A RAG service that is not there, comes, and goes.
  let rag: Server | undefined;
  const port = await freePort();
  const listen = () =>
    new Promise<void>((resolve) => {
      rag = createServer((_, response) => response.end('{}')).listen(port, '127.0.0.1', resolve);
    });
  const stop = () =>
    new Promise<void>((resolve) => {
      rag!.closeAllConnections();
      rag!.close(() => resolve());
    });
  service = await atService(oneTier, { RAG_SERVICE_URL: `http://127.0.0.1:${port}/api/v1` });
  const ready = async () => (await service.ask('GET', '/health/ready')).body;
  const first = await ready();
  assert.equal(first.ready, true);
  assert.deepEqual(first.dependencies, {
    model_gateway: 'connected',
    store: 'connected',
    rag: 'disconnected',
  });
  assert.match(first.dependency_states.rag.why, /RAG service/);
  assert.match(first.without.rag, /without retrieved context/);
  assert.equal(first.dependency_states.store.why, undefined);
  const { text } = await service.ask('GET', '/metrics');
  assert.deepEqual(
    [...text.matchAll(/^worker_service_dependency_status\{dependency="(\w+)"\} (\d)$/gm)].map(
      ([, name, value]) => [name, value],
    ),
    [
      ['model_gateway', '1'],
      ['store', '1'],
      ['rag', '0'],
    ],
  );
  const task = await service.execute(aTask({ context: undefined }));
  assert.deepEqual([task.status, task.body.context], [200, 'degraded']);

  await listen();
  await until(async () => (await ready()).dependencies.rag === 'connected', 'the RAG service is seen');
  const second = await ready();
  assert.deepEqual([second.without, second.details], [undefined, undefined]);
  assert.ok(second.dependency_states.rag.since > first.dependency_states.rag.since);
  assert.equal(second.dependency_states.store.since, first.dependency_states.store.since);
  await stop();
  await until(async () => (await ready()).without?.rag !== undefined, 'its end is seen');
  const { body } = await service.ask('GET', '/health/detailed');
  assert.equal(body.dependency_states.rag.state, 'disconnected');
});

test('a RAG service whose queries get no answer is told of, although something answers at its address', async () => {
  service = await atService(
    'rag: {timeout_ms: 200, retries: 0, breaker_failures: 1, breaker_open_ms: 600000}',
  );
  const rag = async () => (await service.ask('GET', '/health/ready')).body.dependency_states.rag;
  assert.equal((await rag()).state, 'connected');
  await service.ragKnobs({ hang: true });
  const task = await service.execute(aTask({ context: undefined }));
  assert.deepEqual([task.status, task.body.context], [200, 'degraded']);
  const { state, why } = await rag();
  assert.deepEqual([state, why], ['disconnected', 'queries to the RAG service get no answer in time']);
});

test('live and started are what they are once it listens', async () => {
  service = await atService();
  for (const prefix of ['', '/api/v1']) {
    assert.deepEqual((await service.ask('GET', `${prefix}/health/live`)).body, { status: 'live' });
    assert.deepEqual((await service.ask('GET', `${prefix}/health/startup`)).body, { status: 'started' });
  }
});

test.run();
