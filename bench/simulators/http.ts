import { STATUS_CODES } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer, type Socket } from 'node:net';

/**
 * A small HTTP/1.1 server on plain sockets. node:http hides the bytes; a simulator of bad peers has to own
 * them (a reset in the middle of a chunk, a chunk size that is no number), and it costs a quarter less CPU
 * per answer, which matters to the benchmarks that run beside it.
 */
export interface HttpServer {
  readonly port: number;
  /** Stops listening and destroys every connection. */
  close(): Promise<void>;
}

/** One request and the raw way to answer it. Exactly one of `done`, `end` and `reset` ends it. */
export interface Exchange {
  readonly method: string;
  /** Without the query string; not decoded. */
  readonly path: string;
  /** Names in lower case; the last of equal names wins. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Writes bytes as they are; a string must be ASCII or meant as UTF-8. Ignored once the client is gone. */
  send(bytes: string | Buffer): void;
  /** The answer is complete; the connection serves its next request, or is closed. */
  done(options?: { readonly close?: boolean }): void;
  /** FIN after what was sent. */
  end(): void;
  /** RST, 20 ms after what was sent has left this process. */
  reset(): void;
  /** Called once when the client goes away before the answer is complete. */
  onClosed(listener: () => void): void;
}

export interface HttpHandler {
  request(exchange: Exchange): void;
  connectionOpened?(): void;
  connectionClosed?(): void;
}

/**
 * Listens on 127.0.0.1.
 * @param port 0 takes a free one.
 * @throws the error of `listen` (`EADDRINUSE`).
 */
export function serveHttp(port: number, handler: HttpHandler): Promise<HttpServer> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    handler.connectionOpened?.();
    socket.once('close', () => {
      sockets.delete(socket);
      handler.connectionClosed?.();
    });
    serveConnection(socket, handler);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // A benchmark opens thousands of connections at once.
    server.listen({ port, host: '127.0.0.1', backlog: 4096 }, () => {
      resolve({
        port: (server.address() as AddressInfo).port,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed());
            for (const socket of sockets) socket.destroy();
          }),
      });
    });
  });
}

/** Answers with one write. */
export function reply(
  exchange: Exchange,
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  const length = Buffer.byteLength(body);
  const all = { 'content-type': 'application/json', ...headers, 'content-length': String(length) };
  exchange.send(headOf(status, all) + body);
  exchange.done({ close: headers.connection === 'close' });
}

/** Status line and header lines, with the empty line. */
export function headOf(status: number, headers: Readonly<Record<string, string>>): string {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n`;
  for (const name in headers) head += `${name}: ${headers[name]}\r\n`;
  return `${head}\r\n`;
}

/** One chunk of a chunked body. */
export function chunkOf(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}

export const lastChunk = '0\r\n\r\n';

/** An RST that overtakes the reading of what was sent before looks like an ordinary end to many clients. */
const resetPauseMs = 20;
const maxHeadBytes = 64 * 1024;
const maxBodyBytes = 64 * 1024 * 1024;

function serveConnection(socket: Socket, handler: HttpHandler): void {
  let received: Buffer[] = [];
  let receivedBytes = 0;
  /** Bytes without which another look at the buffer is useless. */
  let neededBytes = 0;
  let current: { closed: (() => void) | undefined } | undefined;
  let continued = false;

  socket.on('data', (bytes: Buffer) => {
    received.push(bytes);
    receivedBytes += bytes.length;
    if (current === undefined) advance();
    else if (receivedBytes > maxBodyBytes) socket.destroy();
  });
  socket.on('end', gone);
  socket.on('close', gone);
  // The close event follows and says what matters.
  socket.on('error', () => {});

  function gone(): void {
    const exchange = current;
    current = undefined;
    received = [];
    receivedBytes = 0;
    exchange?.closed?.();
  }

  function advance(): void {
    if (receivedBytes === 0 || receivedBytes < neededBytes) return;
    const bytes = received.length === 1 ? received[0]! : Buffer.concat(received);
    received = [bytes];
    const read = readRequest(bytes);
    if (read.kind === 'incomplete') {
      neededBytes = read.neededBytes;
      if (read.expectsContinue && !continued) {
        continued = true;
        socket.write('HTTP/1.1 100 Continue\r\n\r\n');
      }
      return;
    }
    if (read.kind === 'bad') {
      socket.end(headOf(read.status, { connection: 'close', 'content-length': '0' }));
      return;
    }
    const rest = bytes.subarray(read.length);
    received = rest.length === 0 ? [] : [rest];
    receivedBytes = rest.length;
    neededBytes = 0;
    continued = false;
    serve(read.request);
  }

  function serve(request: Request): void {
    const state: { closed: (() => void) | undefined } = { closed: undefined };
    current = state;
    handler.request({
      method: request.method,
      path: request.path,
      headers: request.headers,
      body: request.body,
      send: (bytes) => {
        if (current === state) socket.write(bytes);
      },
      done: (options) => {
        if (current !== state) return;
        current = undefined;
        if (request.closes || options?.close === true) socket.end();
        else if (receivedBytes > 0) setImmediate(advanceIfIdle);
      },
      end: () => {
        if (current !== state) return;
        current = undefined;
        socket.end();
      },
      reset: () => {
        if (current !== state) return;
        current = undefined;
        socket.write('', () => setTimeout(() => socket.resetAndDestroy(), resetPauseMs));
      },
      onClosed: (listener) => {
        state.closed = listener;
      },
    });
  }

  function advanceIfIdle(): void {
    if (current === undefined) advance();
  }
}

interface Request {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly closes: boolean;
}

type Read =
  | { readonly kind: 'complete'; readonly request: Request; readonly length: number }
  | { readonly kind: 'incomplete'; readonly neededBytes: number; readonly expectsContinue: boolean }
  | { readonly kind: 'bad'; readonly status: number };

function readRequest(bytes: Buffer): Read {
  const headLength = bytes.indexOf('\r\n\r\n');
  if (headLength < 0) {
    if (bytes.length > maxHeadBytes) return { kind: 'bad', status: 431 };
    return { kind: 'incomplete', neededBytes: bytes.length + 1, expectsContinue: false };
  }
  const lines = bytes.toString('latin1', 0, headLength).split('\r\n');
  const [method, target, version] = lines[0]!.split(' ');
  if (method === undefined || target === undefined || !/^HTTP\/1\.[01]$/.test(version ?? '')) {
    return { kind: 'bad', status: 400 };
  }
  const headers = headersOf(lines);
  const bodyStart = headLength + 4;
  const body = headers['transfer-encoding']?.toLowerCase().includes('chunked')
    ? readChunked(bytes, bodyStart)
    : readSized(bytes, bodyStart, headers['content-length']);
  if (body.kind === 'incomplete') {
    const expectsContinue = headers.expect?.toLowerCase() === '100-continue';
    return { kind: 'incomplete', neededBytes: body.neededBytes, expectsContinue };
  }
  if (body.kind === 'bad') return body;
  const query = target.indexOf('?');
  const path = query < 0 ? target : target.slice(0, query);
  const asked = headers.connection?.toLowerCase();
  const closes = asked === 'close' || (version === 'HTTP/1.0' && asked !== 'keep-alive');
  return { kind: 'complete', request: { method, path, headers, body: body.body, closes }, length: body.end };
}

function headersOf(lines: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let index = 1; index < lines.length; index++) {
    const line = lines[index]!;
    const colon = line.indexOf(':');
    if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return headers;
}

type Body =
  | { readonly kind: 'complete'; readonly body: Buffer; readonly end: number }
  | { readonly kind: 'incomplete'; readonly neededBytes: number }
  | { readonly kind: 'bad'; readonly status: number };

function readSized(bytes: Buffer, start: number, announced: string | undefined): Body {
  const length = announced === undefined ? 0 : Number(announced);
  if (!Number.isSafeInteger(length) || length < 0) return { kind: 'bad', status: 400 };
  if (length > maxBodyBytes) return { kind: 'bad', status: 413 };
  const end = start + length;
  if (bytes.length < end) return { kind: 'incomplete', neededBytes: end };
  return { kind: 'complete', body: bytes.subarray(start, end), end };
}

function readChunked(bytes: Buffer, start: number): Body {
  const parts: Buffer[] = [];
  let total = 0;
  let position = start;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', position);
    if (lineEnd < 0) return { kind: 'incomplete', neededBytes: bytes.length + 1 };
    const size = Number.parseInt(bytes.toString('latin1', position, lineEnd), 16);
    if (Number.isNaN(size)) return { kind: 'bad', status: 400 };
    total += size;
    if (total > maxBodyBytes) return { kind: 'bad', status: 413 };
    const dataEnd = lineEnd + 2 + size;
    if (size === 0) {
      // Trailers are skipped up to the empty line.
      const end = bytes.indexOf('\r\n\r\n', lineEnd);
      if (end < 0) return { kind: 'incomplete', neededBytes: bytes.length + 1 };
      return { kind: 'complete', body: Buffer.concat(parts), end: end + 4 };
    }
    if (bytes.length < dataEnd + 2) return { kind: 'incomplete', neededBytes: dataEnd + 2 };
    parts.push(bytes.subarray(lineEnd + 2, dataEnd));
    position = dataEnd + 2;
  }
}
