import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { suite } from 'uvu';
import { freePort } from '../../server/cluster/free-port.js';

const test = suite('the port of a cluster');

test('for 0 it is one that outgoing connections do not take', async () => {
  for (let i = 0; i < 20; i++) {
    const port = await freePort('127.0.0.1', 0);
    assert.ok(port >= 20_000 && port < 32_000, String(port));
    assert.equal(await freePort('127.0.0.1', port), port);
  }
});

test('one that is taken is refused with its number, and so is a host that nobody has', async () => {
  const taken = createServer();
  await once(taken.listen(0, '127.0.0.1'), 'listening');
  const { port } = taken.address() as AddressInfo;
  await assert.rejects(
    freePort('127.0.0.1', port),
    new RegExp(`^Error: port ${port} cannot be listened on: `),
  );
  taken.close();
  // TEST-NET-1, RFC 5737.
  await assert.rejects(freePort('192.0.2.1', 0), /cannot be listened on/);
});

test.run();
