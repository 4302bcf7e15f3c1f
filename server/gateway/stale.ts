import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { buildConnector } from 'undici';

/**
 * Connections whose errors tell whether they had brought something before, and nothing of the answer that is awaited. One
 * that was closed by the other side in the moment in which it was used again says nothing of the gateway.
 */
export function connectorThatTells(timeout: number): buildConnector.connector {
  const connect = buildConnector({ timeout });
  return (options, callback) =>
    connect(options, (...result) => {
      const [, socket] = result;
      const before = socket?.bytesRead ?? 0;
      socket?.prependListener('error', (error: Error & { reused?: boolean }) => {
        const read = readBefore.get(socket) ?? before;
        error.reused = read > before && socket.bytesRead === read;
      });
      callback(...result);
    });
}

/** Bytes that a connection had brought when it was last used. */
const readBefore = new WeakMap<Socket, number>();
subscribe('undici:client:sendHeaders', (message) => {
  const { socket } = message as { socket: Socket };
  readBefore.set(socket, socket.bytesRead);
});

/** A code of the other side, not one of what it sent: that is no HTTP, or too much of it. */
export function isStale(error: Error & { code?: string; reused?: boolean }): boolean {
  return error.reused === true && CLOSED.has(error.code ?? '');
}

const CLOSED = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE', 'ECONNABORTED']);
