import uWS from 'uWebSockets.js';
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { suite } from 'uvu';
import { openLive } from '../../server/http/live.js';
import type { HttpParts } from '../../server/http/parts.js';
import { sleep, until } from '../service/at-service.js';

const test = suite('the stream of the live page');

test('a snapshot is made once for all who watch, and never when nobody does', async () => {
  let snapshots = 0;
  const parts = {
    tokens: undefined,
    metrics: { answered: () => {} },
    log: { error: () => {} },
    isLeaving: () => false,
    snapshot: async () => ({ number: ++snapshots }),
  } as unknown as HttpParts;
  const live = openLive(parts);
  const app = uWS.App().get('/live', (res, req) => live(res, req));
  const listening = await new Promise<Parameters<typeof uWS.us_listen_socket_close>[0]>((resolve) => {
    app.listen('127.0.0.1', 0, (socket) => resolve(socket as never));
  });
  const watch = () => {
    const socket: Socket & { text?: string } = connect(uWS.us_socket_local_port(listening), '127.0.0.1');
    socket.text = '';
    socket.on('data', (data) => {
      socket.text += data.toString();
    });
    socket.write('GET /live HTTP/1.1\r\nhost: x\r\n\r\n');
    return socket;
  };
  try {
    await sleep(100);
    assert.equal(snapshots, 0);
    const watchers = [watch(), watch()];
    await until(() => watchers.every(({ text }) => text!.includes('"number":2')), 'two snapshots for each');
    const numbers = watchers.map(({ text }) =>
      [...text!.matchAll(/"number":(\d+)/g)].map(([, number]) => number),
    );
    for (const seen of numbers) assert.equal(new Set(seen).size, seen.length);
    assert.ok(snapshots <= Math.max(...numbers.flat().map(Number)) + 1);
    for (const socket of watchers) socket.destroy();
    // The last tick may be under way.
    await sleep(1_500);
    const before = snapshots;
    await sleep(2_200);
    assert.equal(snapshots, before);
  } finally {
    uWS.us_listen_socket_close(listening);
  }
});

test.run();
