import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { buildConnector } from 'undici';

/**
 * Connections whose errors tell whether they had brought something before, and nothing of the answer that is awaited. One
 * that was closed by the other side in the moment in which it was used again says nothing of the gateway.
 */
export function connectorThatTells(timeout: number): buildConnector.connector {
  // Again without effect: a listener is called once for each time that it was added.
  unsubscribe(SENDING, noteUse);
  subscribe(SENDING, noteUse);
  const connect = buildConnector({ timeout });
  return (options, callback) =>
    connect(options, (...result) => {
      const [, socket] = result;
      const before = socket?.bytesRead ?? 0;
      socket?.prependListener('error', (error: Error & { reused?: boolean }) => {
        const { read, at } = lastUses.get(socket) ?? { read: before, at: 0 };
        const isSoon = performance.now() - at < SOON_MS;
        error.reused = isSoon && read > before && socket.bytesRead === read;
      });
      callback(...result);
    });
}

/** When a connection was last used, and how many bytes it had brought until then. */
const lastUses = new WeakMap<Socket, { readonly read: number; readonly at: number }>();
const SENDING = 'undici:client:sendHeaders';

function noteUse(message: unknown): void {
  const { socket } = message as { socket: Socket };
  lastUses.set(socket, { read: socket.bytesRead, at: performance.now() });
}

/** A code of the other side, not one of what it sent: that is no HTTP, or too much of it. */
export function isStale(error: Error & { code?: string; reused?: boolean }): boolean {
  return error.reused === true && CLOSED.has(error.code ?? '');
}

/** One that was closed already says so within a round trip; later, a server has hung up on the request. */
const SOON_MS = 500;

const CLOSED = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE', 'ECONNABORTED']);
