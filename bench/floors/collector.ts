import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A collector of traces that takes everything and keeps nothing: what it costs is not the service's. */
const server = createServer((req, res) => {
  req.resume().on('end', () => res.writeHead(200, { 'content-type': 'application/json' }).end('{}'));
});
server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ event: 'listening', port: (server.address() as AddressInfo).port }));
});
