import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { Agent, request } from 'undici';
import { suite } from 'uvu';
import { addToken, revokeToken } from '../../server/tokens/token-file.js';
import { aTask, atService, call, oneTier, type ServiceUnderTest, until } from './at-service.js';

const test = suite('security');
const json = { 'content-type': 'application/json' };
const directory = mkdtempSync(join(tmpdir(), 'worker-service-tokens-'));
let service: ServiceUnderTest | undefined;
let files = 0;

const aFile = () => join(directory, `tokens-${++files}.json`);
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const portOf = ({ url }: ServiceUnderTest) => Number(new URL(url).port);

async function withTokens(more = '', env: Record<string, string> = {}) {
  const file = aFile();
  const tokens = {
    execute: addToken(file, { name: 'execute', scopes: ['execute'] }),
    read: addToken(file, { name: 'read', scopes: ['read'] }),
    both: addToken(file, { name: 'both', scopes: ['execute', 'read'] }),
    expired: addToken(file, { name: 'old', scopes: ['execute'], expires_at: '2020-01-01T00:00:00Z' }),
  };
  service = await atService(`${oneTier}\nserver: {tokens_file: ${file}${more}}`, env);
  return { file, tokens, service };
}

test.after.each(async () => {
  await service?.close();
  service = undefined;
});
test.after(() => rmSync(directory, { recursive: true }));

test('without a token nothing is executed, and the answer says what is missing', async () => {
  const { service, tokens } = await withTokens();
  const task = aTask();
  const none = await service.execute(task);
  assert.deepEqual([none.status, none.body.code], [401, 'unauthorized']);
  assert.match(String(none.headers['www-authenticate']), /^Bearer realm="worker-service"$/);
  for (const token of ['x', `${tokens.both}x`, tokens.both.slice(0, -1), tokens.expired, '']) {
    const { status, headers } = await service.execute(task, bearer(token));
    assert.equal(status, 401, token);
    if (token !== '') assert.match(String(headers['www-authenticate']), /error="invalid_token"/);
  }
  for (const authorization of ['Basic dXNlcjpwYXNz', 'Bearer', `Bearer ${tokens.both} x`, tokens.both])
    assert.equal((await service.execute(task, { authorization })).status, 401, authorization);
  assert.equal((await service.stats()).calls, 0);
  assert.equal((await service.execute(task, bearer(tokens.both))).status, 200);
  assert.equal((await service.stats()).calls, 1);
});

test('a token opens what its scopes say, and nothing else', async () => {
  const { service, tokens } = await withTokens();
  const task = aTask();
  const { body } = await service.execute(task, bearer(tokens.execute));
  const reading = [
    `/tasks/${task.task_id}`,
    `/tasks/${task.task_id}/receipt`,
    `/artifacts/${body.artifact_id}`,
    '/health/detailed',
    '/metrics',
    '/openapi.json',
  ];
  for (const path of reading.flatMap((path) => [path, `/api/v1${path}`])) {
    const url = `${service.url}${path}`;
    assert.equal((await call(url, 'GET')).status, 401, path);
    const refused = await call(url, 'GET', undefined, bearer(tokens.execute));
    assert.deepEqual([refused.status, refused.body.code], [403, 'forbidden'], path);
    assert.match(String(refused.headers['www-authenticate']), /error="insufficient_scope", scope="read"/);
    assert.equal((await call(url, 'GET', undefined, bearer(tokens.read))).status, 200, path);
  }
  assert.equal((await service.execute(aTask(), bearer(tokens.read))).status, 403);
  const cancel = (token: string) =>
    call(`${service.url}/tasks/${task.task_id}`, 'DELETE', undefined, bearer(token));
  assert.equal((await cancel(tokens.read)).status, 403);
  assert.equal((await cancel(tokens.execute)).status, 409);
  for (const path of ['/health', '/health/live', '/health/ready', '/health/startup'])
    assert.equal((await call(`${service.url}${path}`, 'GET')).status, 200, path);
});

test('who has no token cannot make the service hold a large body', async () => {
  const { service } = await withTokens();
  const socket = connect(portOf(service), '127.0.0.1');
  const seen = gathered(socket);
  socket.write(
    'POST /execute HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n{',
  );
  await until(() => seen.closed, 'the connection is closed');
  assert.match(seen.text, /^HTTP\/1\.1 401 /);
});

test('the file of tokens holds no token, and belongs to its owner alone', async () => {
  const { file, tokens } = await withTokens();
  const text = readFileSync(file, 'utf8');
  for (const token of Object.values(tokens)) assert.ok(!text.includes(token));
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test('tokens are rotated without a restart, and a broken file changes nothing', async () => {
  const { file, tokens, service } = await withTokens();
  const status = async (token: string) => (await service.execute(aTask(), bearer(token))).status;
  const next = addToken(file, { name: 'next', scopes: ['execute'] });
  await until(async () => (await status(next)) === 200, 'the new token is known');
  revokeToken(file, 'execute');
  await until(async () => (await status(tokens.execute)) === 401, 'the old token is not');
  writeFileSync(file, '{"tokens": [{"name": "x"}]}');
  await until(() => JSON.stringify(service.logged).includes('tokens_broken'), 'the log says so');
  assert.equal(await status(next), 200);
  for (const token of [next, ...Object.values(tokens)])
    assert.ok(!JSON.stringify(service.logged).includes(token), 'a token stands in the log');
});

test('a file of tokens that is missing or wrong stops the start', async () => {
  const wrong = aFile();
  const start = (file: string) => atService(`${oneTier}\nserver: {tokens_file: ${file}}`);
  await assert.rejects(start(wrong), /ENOENT/);
  writeFileSync(wrong, 'secret');
  await assert.rejects(start(wrong), (error: Error) => /is not JSON$/.test(error.message));
  writeFileSync(wrong, JSON.stringify({ tokens: [{ name: 'a', sha256: 'short', scopes: ['read'] }] }));
  await assert.rejects(start(wrong), /\/tokens\/0\/sha256/);
  const entry = { sha256: '0'.repeat(64), scopes: ['read'] };
  writeFileSync(wrong, JSON.stringify({ tokens: [entry, entry].map((each) => ({ name: 'a', ...each })) }));
  await assert.rejects(start(wrong), /the name a stands there twice/);
});

test('a caller has no more tasks at a time than he may, and others are not held up', async () => {
  const { service, tokens } = await withTokens(', max_tasks_per_caller: 2, grace_period_ms: 100');
  await service.knobs({ hangBeforeHeaders: true });
  const tasks = [aTask({ tier: 'tiny' }), aTask({ tier: 'tiny' })];
  const running = tasks.map((task, at) =>
    service.execute(task, { ...bearer(tokens.both), ...(at === 1 && { accept: 'text/event-stream' }) }),
  );
  await until(async () => (await service.stats()).open === 2, 'both run');
  const third = await service.execute(aTask(), bearer(tokens.both));
  assert.deepEqual(
    [third.status, third.body.code, third.headers['retry-after'], third.body.retry_after_seconds],
    [429, 'caller_limited', '1', 1],
  );
  // One that ends makes room for one.
  const { task_id } = tasks[0]!;
  await call(`${service.url}/tasks/${task_id}`, 'DELETE', undefined, bearer(tokens.both));
  await running[0];
  running[0] = service.execute(aTask({ tier: 'tiny' }), bearer(tokens.both));
  await until(async () => (await service.stats()).calls === 3, 'a third runs');
  await service.knobs({});
  assert.equal((await service.execute(aTask(), bearer(tokens.both))).status, 429);
  assert.equal((await service.execute(aTask(), bearer(tokens.execute))).status, 200);
  // What ends makes room, however it ends: with an answer, with a refusal, or because the caller goes away.
  const gone = connect(portOf(service), '127.0.0.1');
  const body = JSON.stringify(aTask());
  gone.write(
    `POST /execute HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${tokens.execute}\r\ncontent-length: 100\r\n\r\n${body.slice(0, 9)}`,
  );
  gone.destroy();
  for (let i = 0; i < 5; i++) assert.equal((await service.execute({}, bearer(tokens.execute))).status, 400);
  for (let i = 0; i < 5; i++)
    assert.equal((await service.execute(aTask(), bearer(tokens.execute))).status, 200);
  await service.stop();
  await Promise.all(running);
});

test('without tokens a caller is his address', async () => {
  service = await atService(`${oneTier}\nserver: {max_tasks_per_caller: 1, grace_period_ms: 100}`);
  const { url } = service;
  const from = async (localAddress: string) => {
    const dispatcher = new Agent({ localAddress });
    const answer = await request(`${url}/execute`, {
      dispatcher,
      method: 'POST',
      headers: json,
      body: JSON.stringify(aTask({ tier: 'tiny' })),
    });
    await answer.body.dump();
    await dispatcher.close();
    return answer.statusCode;
  };
  await service.knobs({ hangBeforeHeaders: true });
  const running = from('127.0.0.2');
  await until(async () => (await service!.stats()).open === 1, 'it runs');
  await service.knobs({});
  assert.deepEqual([await from('127.0.0.2'), await from('127.0.0.3')], [429, 200]);
  await service.stop();
  await running;
});

test('a caller who has all tasks that he may is told when one of them is expected to end', async () => {
  const { service, tokens } = await withTokens(', max_tasks_per_caller: 2, grace_period_ms: 100');
  const execute = () => service.execute(aTask({ tier: 'tiny' }), bearer(tokens.execute));
  await service.knobs({ ttftMs: 4000 });
  assert.equal((await execute()).status, 200);
  await service.knobs({ hangBeforeHeaders: true });
  const begun = performance.now();
  const running = [execute(), execute()];
  await until(async () => (await service.stats()).open === 2, 'both run');
  const retryAfter = async () => {
    const { body, headers } = await execute();
    assert.equal(body.code, 'caller_limited');
    return String(headers['retry-after']);
  };
  const first = await retryAfter();
  const left = 4 - (performance.now() - begun) / 1000;
  assert.match(first, /^[1-5]$/);
  assert.ok(Number(first) >= left, `${first} s where ${left} s are left`);
  // Whoever comes later has less to wait, and at least a second when it takes longer than expected.
  await until(async () => (await retryAfter()) === '1', 'the time that they are expected to take is over');
  await service.stop();
  await Promise.all(running);
});

test('a process has no more connections than it may', async () => {
  service = await atService(`${oneTier}\nserver: {max_connections: 3}`);
  const { url } = service;
  const sockets = Array.from({ length: 3 }, () => connect(Number(new URL(url).port), '127.0.0.1'));
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  const answers = async (socket: Socket) => {
    const seen = gathered(socket);
    socket.write('GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n');
    await until(() => seen.closed || seen.text.includes('live'), 'an answer or the end');
    return seen.text.includes('live');
  };
  for (const socket of sockets) assert.equal(await answers(socket), true);
  assert.equal(await answers(connect(Number(new URL(url).port), '127.0.0.1')), false);
  sockets[0]!.destroy();
  await until(() => answers(connect(Number(new URL(url).port), '127.0.0.1')), 'there is room again');
  for (const socket of sockets) socket.destroy();
});

test('a header that is too large, or never ends, costs its connection and nothing else', async () => {
  service = await atService();
  const large = connect(portOf(service), '127.0.0.1');
  const seenLarge = gathered(large);
  large.write(`GET /health HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(200_000)}\r\n\r\n`);
  const slow = connect(portOf(service), '127.0.0.1');
  const seenSlow = gathered(slow);
  slow.write('GET /health HTTP/1.1\r\nhost: x\r\nx: ');
  const idle = connect(portOf(service), '127.0.0.1');
  const seenIdle = gathered(idle);
  await until(() => seenLarge.closed, 'the large header is refused');
  assert.ok(!/^HTTP\/1\.1 200/.test(seenLarge.text), seenLarge.text.slice(0, 100));
  const dripping = setInterval(() => slow.write('y'), 1000);
  await until(() => seenSlow.closed && seenIdle.closed, 'the others are given up');
  clearInterval(dripping);
  assert.equal(seenSlow.text, '');
  assert.equal((await service.ask('GET', '/health/live')).status, 200);
});

test('no id leads out of its namespace', async () => {
  service = await atService();
  const { url } = service;
  const kept = aTask({ task_id: 'kept' });
  assert.equal((await service.execute(kept)).status, 200);
  const hostile = [
    '../../etc/passwd',
    '..',
    'a/b',
    'a\u0000b',
    "kept'; DROP TABLE tasks; --",
    '" OR 1=1',
    '__proto__/x',
    '%2e%2e%2f',
    '<script>',
    'kept\r\nx-injected: 1',
    'x'.repeat(10_000),
    '',
  ];
  for (const id of hostile) {
    const { status, body } = await service.execute(aTask({ task_id: id }));
    assert.equal(status, 400, id);
    assert.equal(body.errors[0].path, '/task_id');
    // What is too long for a path, and what every client resolves before it asks.
    if (id.length > 5_000 || id === '..') continue;
    for (const route of ['tasks', 'artifacts'])
      assert.equal((await call(`${url}/${route}/${encodeURIComponent(id)}`, 'GET')).status, 404, id);
  }
  for (const id of ['__proto__', 'constructor', 'toString'])
    assert.equal((await service.ask('GET', `/tasks/${id}`)).status, 404, id);
  assert.equal((await service.ask('GET', '/tasks/kept')).status, 200);
});

test('an answer is never taken for anything that runs', async () => {
  service = await atService();
  const content = '<script>alert(1)</script>';
  await service.knobs({ output: JSON.stringify({ status: 'completed', content }) });
  const answer = await service.execute(aTask());
  assert.equal(answer.body.output.content, content);
  const { artifact_id, task_id } = answer.body;
  for (const path of [`/tasks/${task_id}`, `/artifacts/${artifact_id}`, '/nothing', '/metrics']) {
    const { headers } = await service.ask('GET', path);
    assert.equal(headers['x-content-type-options'], 'nosniff', path);
    assert.ok(!/html/.test(String(headers['content-type'])), path);
  }
});

test('with a certificate it speaks HTTPS, from TLS 1.2 on', async () => {
  const { file, token } = { file: aFile(), token: '' };
  const bearerToken = addToken(file, { name: 'a', scopes: ['execute'] });
  service = await atService(
    `server: {tokens_file: ${file}, tls_cert_file: ${tlsFile('cert')}, tls_key_file: ${tlsFile('key')}}${token}`,
  );
  const port = portOf(service);
  const agent = new Agent({ connect: { ca: readFileSync(tlsFile('cert')), servername: 'localhost' } });
  const answer = await request(`https://127.0.0.1:${port}/execute`, {
    method: 'POST',
    headers: { ...json, ...bearer(bearerToken) },
    body: JSON.stringify(aTask()),
    dispatcher: agent,
  });
  assert.equal(answer.statusCode, 200);
  await answer.body.dump();
  await agent.close();
  await assert.rejects(request(`http://127.0.0.1:${port}/health`));
  const version = (maxVersion: 'TLSv1.1' | 'TLSv1.2') =>
    new Promise<string>((resolve) => {
      const options = { port, host: '127.0.0.1', rejectUnauthorized: false, ciphers: 'DEFAULT@SECLEVEL=0' };
      const socket = connectTls({ ...options, minVersion: 'TLSv1', maxVersion }, () => {
        resolve(socket.getProtocol() ?? '');
        socket.destroy();
      });
      socket.on('error', () => resolve('refused'));
    });
  assert.equal(await version('TLSv1.2'), 'TLSv1.2');
  assert.equal(await version('TLSv1.1'), 'refused');
});

test.run();

function tlsFile(name: 'cert' | 'key'): string {
  return fileURLToPath(new URL(`../../../test/service/tls/${name}.pem`, import.meta.url));
}

function gathered(socket: Socket): { text: string; closed: boolean } {
  const seen = { text: '', closed: false };
  socket.on('data', (part) => {
    seen.text += part.toString('latin1');
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    seen.closed = true;
  });
  return seen;
}
