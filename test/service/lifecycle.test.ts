import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import {
  aSlowReader,
  aTask,
  atService,
  call,
  eventsOf,
  oneTier,
  type ServiceUnderTest,
  sleep,
  until,
} from './at-service.js';

const test = suite('the life of the service');
let service: ServiceUnderTest | undefined;

test.after.each(async () => {
  await service?.close();
  service = undefined;
});

test('a stop lets what runs end', async () => {
  service = await atService();
  await service.knobs({ tokensPerSecond: 300 });
  const running = service.execute(aTask());
  await until(async () => (await service!.stats()).open === 1, 'the call runs');
  const stopped = service.stop();
  assert.equal((await running).status, 200);
  await stopped;
  await assert.rejects(service.ask('GET', '/health'));
});

test('a port that another service has is not shared with it, and a host that nobody has is named', async () => {
  service = await atService();
  const { port } = new URL(service.url);
  await assert.rejects(
    atService(oneTier, { SERVICE_PORT: port }),
    new RegExp(`port ${port} cannot be listened on: .*EADDRINUSE`),
  );
  // TEST-NET-1, RFC 5737.
  await assert.rejects(
    atService(oneTier, { SERVICE_PORT: port, HOST: '192.0.2.1', ALLOW_UNAUTHENTICATED: 'true' }),
    /EADDRNOTAVAIL.*192\.0\.2\.1/,
  );
});

test('after the grace period the rest is cancelled with shutting_down, and may run again', async () => {
  service = await atService(oneTier, { GRACE_PERIOD_MS: '100' });
  await service.knobs({ tokensPerSecond: 5 });
  const task = aTask();
  const running = service.execute(task);
  await until(async () => (await service!.stats()).open === 1, 'the call runs');
  await service.stop();
  const { status, body } = await running;
  assert.deepEqual([status, body.code, body.retryable], [503, 'shutting_down', true]);
  await service.knobs({});
  await service.restart();
  assert.equal((await service.execute(task)).status, 200);
});

test('readiness turns 503 on an open connection while the service drains', async () => {
  service = await atService();
  await service.knobs({ tokensPerSecond: 200 });
  const socket = connect(Number(new URL(service.url).port), '127.0.0.1');
  await new Promise((resolve) => socket.once('connect', resolve));
  const running = service.execute(aTask());
  await until(async () => (await service!.stats()).open === 1, 'the call runs');
  const stopped = service.stop();
  socket.write('GET /health/ready HTTP/1.1\r\nhost: x\r\n\r\n');
  const answer = await new Promise<Buffer>((resolve) => socket.once('data', resolve));
  assert.match(answer.toString(), /^HTTP\/1\.1 503 /);
  socket.destroy();
  await running;
  await stopped;
});

test('the deadline of a tier ends a task that hangs', async () => {
  service = await atService('queues: {small: {timeout: 1}}');
  await service.knobs({ hangBeforeHeaders: true });
  const { status, body } = await service.execute(aTask());
  assert.deepEqual([status, body.code, body.retryable], [504, 'deadline_exceeded', true]);
  assert.equal(body.detail, "the task's limit of 1 s has passed");
  assert.equal((await service.stats()).open, 0);
});

test('a full wait queue answers 429 with Retry-After', async () => {
  service = await atService('queues: {small: {concurrency: 1, max_waiting: 1}}');
  await service.knobs({ tokensPerSecond: 400 });
  const answers = await Promise.all([1, 2, 3, 4].map(() => service!.execute(aTask())));
  const saturated = answers.filter(({ status }) => status === 429);
  assert.equal(saturated.length, 2);
  assert.equal(saturated[0]!.body.code, 'tier_saturated');
  assert.ok(Number(saturated[0]!.headers['retry-after']) >= 1);
});

test('a stream of events says when to come again, too', async () => {
  service = await atService('queues: {small: {concurrency: 1, max_waiting: 0}}');
  await service.knobs({ ttftMs: 2000 });
  const running = service.execute(aTask());
  await until(async () => (await service!.stats()).open === 1, 'the slot is taken');
  const refused = await service.execute(aTask(), { accept: 'text/event-stream' });
  const { event, data } = eventsOf(refused.text).at(-1)!;
  assert.deepEqual([event, data.code], ['failed', 'tier_saturated']);
  assert.ok(data.retry_after_seconds >= 1, refused.text);
  assert.equal((await running).status, 200);
});

test('a slow reader stops the model stream, and gets all of it in the end', async () => {
  const delta = `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: 'some words of text\n'.repeat(500) } }] })}\n\n`;
  const deltas = 4000; // 38 MB, more than sockets and buffers hold
  let written = 0;
  const gateway = createServer(async (_, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    for (; written < deltas; written++) if (!res.write(delta)) await once(res, 'drain');
    res.end('data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n');
  });
  await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve));
  const { port } = gateway.address() as AddressInfo;
  service = await atService(
    'output: {max_bytes: 67108864}\nmodels: {"gemma3:12b": {context_window: 20000000, max_output_tokens: 15000000}}',
    { MODEL_GATEWAY_URL: `http://127.0.0.1:${port}` },
  );
  const socket = aSlowReader(service, aTask(), 'text/event-stream');
  let before = -1;
  await until(async () => {
    const still = written === before && written > 0;
    before = written;
    await sleep(500);
    return still;
  }, 'the stream stands still');
  assert.ok(written < deltas, 'the stream waits for its reader');
  let tail = '';
  socket.on('data', (part) => {
    tail = (tail + part.toString('latin1')).slice(-100);
  });
  socket.resume();
  await until(() => tail.endsWith('0\r\n\r\n'), 'the answer ends');
  assert.equal(written, deltas);
  socket.destroy();
  gateway.close();
});

for (const accept of ['application/json', 'text/event-stream']) {
  test(`a stop lets a slow reader of ${accept} have the whole of his answer`, async () => {
    const content = 'some words of text. '.repeat(600_000); // 12 MB, more than sockets and buffers hold
    service = await atService(
      'output: {max_bytes: 67108864}\nmodels: {"gemma3:12b": {context_window: 20000000, max_output_tokens: 15000000}}',
    );
    await service.knobs({ output: JSON.stringify({ content, artifacts: [], summary: 's' }), chunks: 1 });
    const task = aTask({ domain: 'documentation' });
    const socket = aSlowReader(service, task, accept);
    await until(
      async () => (await service!.ask('GET', `/tasks/${task.task_id}`)).body.status === 'completed',
      'its end',
    );
    let isStopped = false;
    const stopped = service.stop().then(() => {
      isStopped = true;
    });
    await sleep(300);
    assert.equal(isStopped, false);
    let received = 0;
    let tail = '';
    socket.on('data', (part) => {
      received += part.length;
      tail = (tail + part.toString('latin1')).slice(-100);
    });
    const closed = once(socket, 'close');
    socket.resume();
    await Promise.all([stopped, closed]);
    assert.ok(received > content.length, `${received} bytes of an answer of ${content.length}`);
    assert.match(tail, /"summary":"s"\}\}(?:$|\s)/);
  });
}

test('a stop does not wait for a slow reader who has gone', async () => {
  service = await atService('output: {max_bytes: 67108864}', { GRACE_PERIOD_MS: '3600000' });
  const content = 'some words of text. '.repeat(150_000);
  await service.knobs({ output: JSON.stringify({ content, artifacts: [], summary: 's' }), chunks: 1 });
  for (const accept of ['application/json', 'text/event-stream']) {
    const task = aTask({ domain: 'documentation' });
    const socket = aSlowReader(service, task, accept);
    await until(
      async () => /completed|failed/.test((await service!.ask('GET', `/tasks/${task.task_id}`)).body.status),
      'its end',
    );
    socket.destroy();
  }
  await service.stop();
});

test('a template is read again when it changes; a broken one is not taken and is logged', async () => {
  const prompts = mkdtempSync(join(tmpdir(), 'worker-service-prompts-'));
  cpSync('prompts', prompts, { recursive: true });
  service = await atService(oneTier, { PROMPTS_DIR: prompts });
  const file = join(prompts, 'workers/code_general.md');
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, text.replace('<!-- user -->', 'MARK-ONE\n<!-- user -->'));
  await until(
    () => service!.logged.some((entry) => 'event' in entry && entry.event === 'template_reloaded'),
    'reload',
  );
  await service.execute(aTask());
  assert.match(JSON.stringify((await service.stats()).requests.at(-1)), /MARK-ONE/);
  await sleep(20);
  writeFileSync(file, text.replace('<!-- user -->', '{{#open}}\nMARK-TWO\n<!-- user -->'));
  await until(
    () => service!.logged.some((entry) => 'event' in entry && entry.event === 'template_broken'),
    'complaint',
  );
  await service.execute(aTask());
  assert.match(JSON.stringify((await service.stats()).requests.at(-1)), /MARK-ONE/);
  rmSync(prompts, { recursive: true });
});

test('a template that changes while a task runs is not mixed into it, and the receipt names the one that was used', async () => {
  const prompts = mkdtempSync(join(tmpdir(), 'worker-service-prompts-'));
  cpSync('prompts', prompts, { recursive: true });
  const asked: string[] = [];
  let answerFirst = () => {};
  const gateway = createServer(async (req, res) => {
    const parts = await req.toArray();
    asked.push(Buffer.concat(parts).toString());
    const answer = () => {
      const content = asked.length === 1 ? '{"content": 5}' : '{"status":"completed","content":"x = 1"}';
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify({ choices: [{ message: { content }, finish_reason: 'stop' }] }));
    };
    if (asked.length === 1) answerFirst = answer;
    else answer();
  });
  await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve));
  const { port } = gateway.address() as AddressInfo;
  const env = { PROMPTS_DIR: prompts, MODEL_GATEWAY_URL: `http://127.0.0.1:${port}` };
  service = await atService('endpoints: {ollama_gpu_general: {stream: false}}', env);
  const file = join(prompts, 'workers/code_general.md');
  const before = readFileSync(file, 'utf8');
  const task = aTask();
  const running = service.execute(task);
  await until(() => asked.length === 1, 'the first call');
  writeFileSync(file, before.replace('<!-- user -->', 'MARK\n<!-- user -->'));
  await until(
    () => service!.logged.some((entry) => 'event' in entry && entry.event === 'template_reloaded'),
    'reload',
  );
  answerFirst();
  assert.equal((await running).status, 200);
  assert.deepEqual(
    asked.map((body) => body.includes('MARK')),
    [false, false],
  );
  const receipt = await service.ask('GET', `/tasks/${task.task_id}/receipt`);
  assert.equal(receipt.body.template.sha256, createHash('sha256').update(before).digest('hex'));
  gateway.close();
  rmSync(prompts, { recursive: true });
});

/** Threads with as little memory as the configuration allows for documents of so many MiB. */
function smallThreads(mib: number): string {
  const bytes = mib * 1024 * 1024;
  return `threads: {max_memory_mb: ${32 * mib}}
server: {max_body_bytes: ${bytes}}
rabbitmq: {max_message_bytes: ${bytes}}
rag: {max_response_bytes: ${bytes}}
output: {max_bytes: ${bytes}}
`;
}

test('threads that exceed their memory fail the tasks they held, in whose receipts it stands, and the process lives', async () => {
  service = await atService(`${smallThreads(1)}
models: {"gemma3:12b": {context_window: 2000000, max_output_tokens: 1000000}}
queues: {small: {concurrency: 60}}`);
  // Together more than two threads can hold, one after the other.
  await service.knobs({ outputBytes: 1_000_000, chunkTokens: 2500, stallAfterChunks: 99 });
  const tasks = Array.from({ length: 60 }, () => aTask());
  const answers = await Promise.all(tasks.map((task) => service!.execute(task)));
  for (const [i, { status, body }] of answers.entries()) {
    assert.deepEqual([status, body.code, body.retryable], [500, 'internal_error', true]);
    const { body: receipt } = await service.ask('GET', `/tasks/${tasks[i]!.task_id}/receipt`);
    assert.equal(receipt.attempts.length, 1);
    const [{ ended, error, tokens }] = receipt.attempts;
    assert.equal(ended, 'aborted');
    assert.match(error, /memory limit/);
    assert.ok(tokens.prompt > 0);
    assert.equal(receipt.tokens_used, tokens.prompt);
    assert.equal(body.tokens_used, tokens.prompt);
  }
  const deaths = service.logged.filter((entry) => 'event' in entry && entry.event === 'thread_died');
  assert.equal(deaths.length, 2);
  await service.knobs({});
  assert.equal((await service.execute(aTask())).status, 200);
});

test('bodies that take much memory for their size cost neither thread nor process its life', async () => {
  const mib = 4;
  service = await atService(smallThreads(mib));
  const bytes = mib * 1024 * 1024 - 1000;
  const keys = Array.from({ length: bytes / 10 }, (_, i) => `"${i.toString(36)}":0`).join();
  const inputs = [
    `[${'{},'.repeat(bytes / 3)}{}]`,
    `[${'{"a":1},'.repeat(bytes / 8)}{}]`,
    `${'['.repeat(bytes / 2)}${']'.repeat(bytes / 2)}`,
    `{${keys}}`,
  ];
  for (const value of inputs) {
    const sent = `${JSON.stringify(aTask()).slice(0, -1)},"inputs":${value}}`;
    const { status, body } = await call(`${service.url}/execute`, 'POST', sent, {
      'content-type': 'application/json',
    });
    assert.deepEqual([status, body.code], [400, 'invalid_request'], value.slice(0, 10));
  }
  assert.ok(!service.logged.some((entry) => 'event' in entry && entry.event === 'thread_died'));
});

test.run();
