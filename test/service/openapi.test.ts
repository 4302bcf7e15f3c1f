import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { parse } from 'yaml';
import { packageRoot } from '../../config/package-root.js';
import { atService, type ServiceUnderTest } from './at-service.js';

const test = suite('the OpenAPI document');
let service: ServiceUnderTest;

test.before(async () => {
  service = await atService();
});
test.after(() => service.close());

for (const prefix of ['', '/api/v1']) {
  test(`${prefix}/openapi.json is contracts/openapi.yaml`, async () => {
    const { status, headers, body } = await service.ask('GET', `${prefix}/openapi.json`);
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'application/json');
    assert.deepEqual(body, parse(readFileSync(new URL('contracts/openapi.yaml', packageRoot), 'utf8')));
  });
}

test.run();
