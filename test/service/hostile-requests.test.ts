import assert from 'node:assert/strict';
import { connect } from 'node:net';
import fc from 'fast-check';
import { suite } from 'uvu';
import { Problem } from '../../contracts/problem.js';
import { compile } from '../../contracts/validator.js';
import { effort } from '../fuzz/effort.js';
import { aTask, atService, call, oneTier, type ServiceUnderTest } from './at-service.js';

const test = suite('hostile requests');
const json = { 'content-type': 'application/json' };
const problem = compile(Problem);
let service: ServiceUnderTest;

test.before(async () => {
  service = await atService(`${oneTier}\nserver: {max_body_bytes: 100000, body_timeout_ms: 500}`);
});
test.after(async () => {
  assert.equal((await service.stats()).calls, 0, 'a bad request cost a model call');
  await service.close();
});

const refused: [name: string, body: string | Uint8Array, status: number, path?: string][] = [
  ['malformed JSON', '{"task_id": ', 400, ''],
  ['no body', '', 400, ''],
  ['invalid UTF-8', Buffer.from('{"task_id": "\xff\xfe"}', 'latin1'), 400, ''],
  ['a list', '[]', 400, ''],
  ['a wrong type', JSON.stringify(aTask({ description: 5 })), 400, '/description'],
  ['an unknown field', JSON.stringify(aTask({ urgent: true })), 400, '/urgent'],
  [
    'unknown fields without end',
    JSON.stringify(aTask(Object.fromEntries(Array.from({ length: 5000 }, (_, at) => [`field${at}`, 1])))),
    400,
    '/field0',
  ],
  ['a prototype key', `{"__proto__": {"a": 1}, ${JSON.stringify(aTask()).slice(1)}`, 400, '/__proto__'],
  ['a constructor key', JSON.stringify(aTask({ constructor: 1 })), 400, '/constructor'],
  ['deep nesting', '['.repeat(40_000), 400, ''],
  ['deep nesting that closes', `${'['.repeat(40_000)}${']'.repeat(40_000)}`, 400, ''],
  ['an id with a path in it', JSON.stringify(aTask({ task_id: '../x' })), 400, '/task_id'],
  ['a deep field', JSON.stringify(aTask({ inputs: [{ content: 'x', path: 1 }] })), 400, '/inputs/0/path'],
  ['half of a surrogate pair', JSON.stringify(aTask({ description: 'a\ud83d' })), 400, '/description'],
  [
    'a deep half of a surrogate pair',
    JSON.stringify(aTask({ inputs: [{ content: '\udca9 b' }] })),
    400,
    '/inputs/0/content',
  ],
  ['a large body', JSON.stringify(aTask({ context: 'x'.repeat(200_000) })), 413],
];
for (const [name, body, status, path] of refused) {
  test(`${name} is refused with ${status}`, async () => {
    const answer = await call(`${service.url}/execute`, 'POST', body, json);
    assert.equal(answer.status, status);
    assert.deepEqual(problem.violations(answer.body), []);
    if (path !== undefined)
      assert.ok(
        answer.body.errors.some((e: { path: string }) => e.path === path),
        answer.text,
      );
  });
}

test('a wrong content type, method and route have answers of their own', async () => {
  const typed = await call(`${service.url}/execute`, 'POST', '{}', { 'content-type': 'text/plain' });
  assert.deepEqual([typed.status, typed.body.code], [415, 'unsupported_media_type']);
  const method = await service.ask('GET', '/api/v1/execute');
  assert.deepEqual([method.status, method.headers.allow], [405, 'POST']);
  for (const [asked, path, allow] of [
    ['POST', '/', 'GET, HEAD'],
    ['PUT', '/live', 'GET'],
    ['DELETE', '/docs', 'GET, HEAD'],
  ] as const) {
    const answer = await service.ask(asked, path);
    assert.deepEqual([answer.status, answer.headers.allow], [405, allow], path);
  }
  assert.equal((await service.ask('GET', '/nothing/here')).status, 404);
});

test('a body that grows too large without saying so is refused while it arrives', async () => {
  const answer = await raw(
    `POST /execute HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n${`2710\r\n${'x'.repeat(10_000)}\r\n`.repeat(11)}`,
  );
  assert.match(answer, /^HTTP\/1\.1 413 /);
});

test('a body that does not arrive is given up', async () => {
  const answer = await raw(
    'POST /execute HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{',
  );
  assert.match(answer, /^HTTP\/1\.1 408 /);
});

test('2,000 generated bodies each get a problem document, and the service lives', async () => {
  const mutated = fc
    .tuple(
      fc.constantFrom('task_id', 'description', 'domain', 'tier', 'context', 'inputs', 'constraints'),
      fc.jsonValue(),
    )
    .map(([field, value]) => JSON.stringify({ ...aTask(), [field]: value, surprise: 1 }));
  const bodies = fc.oneof(
    fc.json(),
    fc.string({ unit: 'binary' }),
    mutated,
    fc.uint8Array({ maxLength: 300 }),
  );
  const samples = fc.sample(bodies, 2000 * effort);
  for (let at = 0; at < samples.length; at += 50) {
    await Promise.all(
      samples.slice(at, at + 50).map(async (body) => {
        const answer = await call(`${service.url}/execute`, 'POST', body, json);
        assert.ok(
          answer.status >= 400 && answer.status < 500,
          `${answer.status} for ${String(body).slice(0, 200)}`,
        );
        assert.deepEqual(problem.violations(answer.body), []);
      }),
    );
  }
  assert.equal((await service.ask('GET', '/health')).body.status, 'healthy');
});

test.run();

/** Sends bytes, and returns what comes back until the connection or 5 s end. */
function raw(bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(service.url).port), '127.0.0.1', () => socket.write(bytes));
    let text = '';
    const done = () => {
      socket.destroy();
      resolve(text);
    };
    socket.on('data', (part) => {
      text += part.toString('latin1');
      if (text.includes('\r\n\r\n')) done();
    });
    socket.on('close', done);
    socket.on('error', done);
    socket.setTimeout(5000, done);
  });
}
