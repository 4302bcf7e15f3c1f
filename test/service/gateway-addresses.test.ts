import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite } from 'uvu';
import { aTask, atService, oneTier } from './at-service.js';

const test = suite('addresses of a gateway');
const seen: { url: string; authorization: string | undefined }[] = [];
const gateways = ['127.0.0.1', '::1'].map((host) => ({ host, server: createServer(answer) }));

test.before(async () => {
  for (const { host, server } of gateways)
    await new Promise<void>((resolve) => server.listen(0, host, resolve));
});
test.before.each(() => {
  seen.length = 0;
});
test.after(() => {
  for (const { server } of gateways) {
    server.closeAllConnections();
    server.close();
  }
});

const v4 = () => `127.0.0.1:${(gateways[0]!.server.address() as AddressInfo).port}`;
const v6 = () => `[::1]:${(gateways[1]!.server.address() as AddressInfo).port}`;

const addresses: [name: string, url: () => string, path: string, authorization?: string][] = [
  ['no path', () => `http://${v4()}`, '/chat/completions'],
  ['a slash', () => `http://${v4()}/`, '/chat/completions'],
  ['a path', () => `http://${v4()}/v1`, '/v1/chat/completions'],
  ['a path with slashes at its end', () => `http://${v4()}/api/v1//`, '/api/v1/chat/completions'],
  ['the address of the completions', () => `http://${v4()}/v1/chat/completions`, '/v1/chat/completions'],
  ['IPv6', () => `http://${v6()}/v1`, '/v1/chat/completions'],
  ['a name', () => `http://localhost:${new URL(`http://${v4()}`).port}/v1`, '/v1/chat/completions'],
  [
    'user and password',
    () => `http://me:s%40crets@${v4()}/v1`,
    '/v1/chat/completions',
    `Basic ${Buffer.from('me:s@crets').toString('base64')}`,
  ],
];
for (const [name, url, path, authorization] of addresses) {
  test(name, async () => {
    const service = await atService(oneTier, { MODEL_GATEWAY_URL: url() });
    try {
      const { status, text } = await service.execute(aTask());
      assert.equal(status, 200, text);
      const called = seen.filter(({ url }) => !url.endsWith('/models'));
      assert.deepEqual(called, [{ url: path, authorization }]);
    } finally {
      await service.close();
    }
  });
}

test('a key goes before user and password, and not to where another host is named', async () => {
  const service = await atService('gateway: {api_key: key, max_attempts: 1}', {
    MODEL_GATEWAY_URL: `http://me:secret@${v4()}/moved`,
  });
  try {
    assert.equal((await service.execute(aTask())).status, 200);
    const called = seen.filter(({ url }) => !url.endsWith('/models'));
    assert.deepEqual(called, [
      { url: '/moved/chat/completions', authorization: 'Bearer key' },
      { url: '/v1/chat/completions', authorization: undefined },
    ]);
  } finally {
    await service.close();
  }
});

test.run();

function answer(req: IncomingMessage, res: ServerResponse): void {
  seen.push({ url: req.url!, authorization: req.headers.authorization });
  req.resume();
  req.on('end', () => {
    if (req.url!.startsWith('/moved/')) {
      res.writeHead(308, { location: `http://${v6()}/v1/chat/completions` }).end();
      return;
    }
    const message = { role: 'assistant', content: '{"content":"x = 1"}' };
    res
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ choices: [{ index: 0, message, finish_reason: 'stop' }] }));
  });
}
