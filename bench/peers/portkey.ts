import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { freePort } from '../servers/processes.js';

/**
 * The Portkey gateway as it is started from its package. It changes headers of fetched responses, which Node 20 does
 * not allow; so each response is wrapped in one with headers of its own. `node portkey.js`
 */
const original = globalThis.fetch;
globalThis.fetch = async (...request) => {
  const { body, status, statusText, headers } = await original(...request);
  return new Response(body, { status, statusText, headers: new Headers(headers) });
};

const port = await freePort();
process.argv.push('--headless', `--port=${port}`);
const home = dirname(createRequire(import.meta.url).resolve('@portkey-ai/gateway/package.json'));
await import(pathToFileURL(join(home, 'build/start-server.js')).href);
while (!(await accepts(port))) await new Promise((resolve) => setTimeout(resolve, 20));
console.log(JSON.stringify({ event: 'listening', port }));
process.once('SIGTERM', () => process.exit(0));

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true)).once('error', () => resolve(false));
    socket.once('close', () => socket.destroy());
    socket.once('connect', () => socket.end());
  });
}
