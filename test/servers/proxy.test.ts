import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import { startProxy } from './proxy.js';

const test = suite('the fault proxy');

test('what comes after a delay was ended does not overtake what is held back, nor does the end', async () => {
  let received = '';
  const server = createServer((socket) => socket.on('data', (data) => (received += data)));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const proxy = await startProxy((server.address() as AddressInfo).port);
  try {
    const client = connect({ port: proxy.port, host: '127.0.0.1' });
    const closed = once(client, 'close');
    await once(client, 'connect');
    proxy.delay(200);
    client.write('a');
    await sleep(50);
    proxy.delay(0);
    client.write('b');
    await sleep(20);
    client.end('c');
    await closed;
    assert.equal(received, 'abc');
  } finally {
    await proxy.close();
    server.close();
  }
});

test.run();
