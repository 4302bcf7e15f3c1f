import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { suite } from 'uvu';
import { aTask, atService, call, oneTier, type ServiceUnderTest, sleep } from './at-service.js';

const test = suite('the edges of HTTP');
const json = { 'content-type': 'application/json' };
let service: ServiceUnderTest;

test.before(async () => {
  service = await atService(`${oneTier}\nserver: {max_body_bytes: 100000}`);
});
test.after(() => service.close());

test('an id may be percent-encoded in a path, as every client library does', async () => {
  const task = aTask({ task_id: 'team:a@b' });
  assert.equal((await service.execute(task)).status, 200);
  assert.equal((await service.ask('GET', '/tasks/team:a@b')).status, 200);
  assert.equal((await service.ask('GET', `/tasks/${encodeURIComponent('team:a@b')}`)).status, 200);
});

test('HEAD has no body, and the connection goes on', async () => {
  const socket = connect(Number(new URL(service.url).port), '127.0.0.1');
  const answerTo = async (text: string) => {
    socket.write(text);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    return answer.toString('latin1');
  };
  const head = await answerTo('HEAD /health HTTP/1.1\r\nhost: x\r\n\r\n');
  assert.match(head, /^HTTP\/1\.1 200 /);
  assert.equal(head.match(/content-length: [1-9]/gi)?.length, 1, head);
  assert.ok(head.endsWith('\r\n\r\n'), `a body stands after the head: ${head}`);
  assert.match(await answerTo('GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n'), /^HTTP\/1\.1 200 /);
  socket.destroy();
});

test('after 413 the connection is closed', async () => {
  let closed = false;
  const socket = connect(Number(new URL(service.url).port), '127.0.0.1');
  socket.on('error', () => {});
  socket.on('data', () => {});
  socket.on('close', () => {
    closed = true;
  });
  socket.write(
    'POST /execute HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n',
  );
  for (let i = 0; i < 60 && !closed; i++) {
    socket.write(`2710\r\n${'x'.repeat(10_000)}\r\n`);
    await sleep(20);
  }
  socket.destroy();
  assert.ok(closed, '600 kB were taken on a connection that was refused at 100 kB');
});

const refused: [
  name: string,
  body: string | Uint8Array,
  headers: Record<string, string>,
  statuses: number[],
][] = [
  ['a compressed body', gzipSync(JSON.stringify(aTask())), { ...json, 'content-encoding': 'gzip' }, [415]],
  ['a body that is called compressed', JSON.stringify(aTask()), { ...json, 'content-encoding': 'br' }, [415]],
  ['the domain of a prototype', JSON.stringify(aTask({ domain: 'constructor' })), json, [422]],
  ['the domain toString', JSON.stringify(aTask({ domain: 'toString' })), json, [422]],
  ['NUL in an id', JSON.stringify(aTask({ task_id: 'a\u0000b' })), json, [400]],
  ['a newline after an id', JSON.stringify(aTask({ task_id: 'a\n' })), json, [400]],
  ['a number beyond all', JSON.stringify(aTask()).replace('{', '{"max_output_tokens":1e999,'), json, [400]],
  ['application/jsonp', JSON.stringify(aTask()), { 'content-type': 'application/jsonp' }, [415]],
  ['no content type', JSON.stringify(aTask()), {}, [415]],
];
for (const [name, body, headers, statuses] of refused) {
  test(`${name} is refused`, async () => {
    const answer = await call(`${service.url}/execute`, 'POST', body, headers);
    assert.ok(statuses.includes(answer.status), `${answer.status} ${answer.text}`);
    assert.match(String(answer.headers['content-type']), /problem\+json/);
  });
}

test.run();
