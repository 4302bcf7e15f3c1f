import { createServer } from 'node:net';

/** Below the range that outgoing connections take their ports from: one of them might be quicker than who listens. */
const LOWEST = 20_000;
const PORTS = 12_000;
/** So many taken ones in a row are no chance any more: the host is wrong. */
const TRIES = 100;

/**
 * The port, or a free one for 0.
 * @throws {Error} when it is taken.
 */
export async function freePort(host: string, wanted: number): Promise<number> {
  if (wanted !== 0) return free(host, wanted);
  for (let tries = 1; ; tries++) {
    try {
      return await free(host, LOWEST + Math.floor(Math.random() * PORTS));
    } catch (error) {
      if (tries === TRIES) throw error;
    }
  }
}

function free(host: string, port: number): Promise<number> {
  const probe = createServer();
  return new Promise((resolve, reject) => {
    probe.once('error', (error: Error) =>
      reject(new Error(`port ${port} cannot be listened on: ${error.message}`)),
    );
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(port)));
  });
}
