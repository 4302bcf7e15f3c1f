import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A TCP relay on a loopback port that can misbehave. */
export interface FaultProxy {
  readonly port: number;
  /** Connections that are open through it. */
  readonly connections: number;
  /** Resets every connection (RST); new ones are taken. */
  cut(): void;
  /** Resets every connection, and each new one, until `accept`. */
  refuse(): void;
  accept(): void;
  /** Forwards nothing any more, in either direction, and closes nothing. */
  freeze(): void;
  thaw(): void;
  /** Ends the direction from the server to the client in good order (FIN) and leaves the other open. */
  halfClose(): void;
  /** Resets the client's side of every connection (RST), and leaves the server in the belief that it is open. */
  orphan(): void;
  /** Holds every piece of data back for so long, in milliseconds; 0 is none. */
  delay(ms: number): void;
  /**
   * Forwards the data of a side, except that the first piece that `pick` names is dropped with its connection.
   * Resolves when that has happened.
   */
  cutBefore(pick: (data: Buffer) => boolean, from?: 'server' | 'client'): Promise<void>;
  /** Drops the first piece of the server's data that `pick` names, and nothing else. */
  swallow(pick: (fromServer: Buffer) => boolean): Promise<void>;
  close(): Promise<void>;
}

/** Waits for one piece of data. */
interface Trap {
  readonly kind: 'cut' | 'swallow';
  readonly from: 'server' | 'client';
  readonly pick: (data: Buffer) => boolean;
  readonly sprung: () => void;
}

export async function startProxy(targetPort: number): Promise<FaultProxy> {
  const pairs = new Set<readonly [client: Socket, server: Socket]>();
  let frozen = false;
  let refuses = false;
  let delayMs = 0;
  let trap: Trap | undefined;
  const springs = (from: Trap['from'], data: Buffer): Trap['kind'] | undefined => {
    if (trap?.from !== from || !trap.pick(data)) return undefined;
    const { kind, sprung } = trap;
    trap = undefined;
    sprung();
    return kind;
  };
  const setTrap = (kind: Trap['kind'], from: Trap['from'], pick: Trap['pick']) =>
    new Promise<void>((resolve) => {
      trap = { kind, from, pick, sprung: resolve };
    });

  const forward = (side: Trap['from'], from: Socket, to: Socket) => {
    let waiting = 0;
    let last = Promise.resolve();
    from.on('data', (data) => {
      const sprung = springs(side, data);
      if (sprung === 'cut') for (const socket of [from, to]) socket.resetAndDestroy();
      if (sprung !== undefined) return;
      if (frozen) {
        from.pause();
        // Nothing is lost on a line that only stands still.
        from.unshift(data);
        return;
      }
      // What comes after a delay was ended does not overtake what is still held back.
      if (delayMs === 0 && waiting === 0) {
        to.write(data);
        return;
      }
      const due = performance.now() + delayMs;
      waiting += 1;
      last = last
        .then(() => sleep(due - performance.now()))
        .then(() => {
          waiting -= 1;
          to.write(data);
        });
    });
    from.on('end', () => void last.then(() => to.end()));
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
  };
  const server = createServer({ allowHalfOpen: true }, (client) => {
    if (refuses) {
      client.on('error', () => {});
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true });
    const pair = [client, upstream] as const;
    pairs.add(pair);
    for (const socket of pair) socket.once('close', () => pairs.delete(pair));
    forward('client', client, upstream);
    forward('server', upstream, client);
    if (frozen) for (const socket of pair) socket.pause();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  const reset = () => {
    for (const pair of pairs) for (const socket of pair) socket.resetAndDestroy();
  };
  return {
    port: address.port,
    get connections() {
      return pairs.size;
    },
    cut: reset,
    refuse: () => {
      refuses = true;
      reset();
    },
    accept: () => {
      refuses = false;
    },
    freeze: () => {
      frozen = true;
      for (const pair of pairs) for (const socket of pair) socket.pause();
    },
    thaw: () => {
      frozen = false;
      for (const pair of pairs) for (const socket of pair) socket.resume();
    },
    halfClose: () => {
      for (const [client] of pairs) client.end();
    },
    orphan: () => {
      for (const [client] of pairs) client.removeAllListeners('close').resetAndDestroy();
    },
    delay: (ms) => {
      delayMs = ms;
    },
    cutBefore: (pick, from = 'server') => setTrap('cut', from, pick),
    swallow: (pick) => setTrap('swallow', 'server', pick),
    close: async () => {
      reset();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
