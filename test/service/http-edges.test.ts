import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { suite } from 'uvu';
import { aTask, atService, call, type ServiceUnderTest } from './at-service.js';

const test = suite('the edges of HTTP');
const json = { 'content-type': 'application/json' };
let service: ServiceUnderTest;

test.before(async () => {
  service = await atService('server: {max_body_bytes: 100000}');
});
test.after(() => service.close());

const refused: [
  name: string,
  body: string | Uint8Array,
  headers: Record<string, string>,
  statuses: number[],
][] = [
  [
    'a compressed body',
    gzipSync(JSON.stringify(aTask())),
    { ...json, 'content-encoding': 'gzip' },
    [400, 415],
  ],
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
