import { Agent } from 'undici';
import { Latencies } from './latencies.js';
import { randomOf } from './simulators/random.js';

/** Where a request goes, and how its answer is read. */
export interface Target {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: () => string;
  /** Whether a piece of the body is, or comes after, the first token. @default the first piece is */
  readonly hasToken?: (piece: Buffer) => boolean;
}

/** What the callers saw. */
export interface Seen {
  /** Until the first token, in ms. */
  readonly first: Latencies;
  /** Until the end of the answer, in ms. */
  readonly total: Latencies;
  readonly failed: number;
  readonly perSecond: readonly number[];
  /** How late requests were sent: the load generator's own fault, in ms. */
  readonly lateness: Latencies;
}

/**
 * Callers who come at their own times, whether or not those before them were answered: a Poisson process of `rate` a
 * second, the same for the same seed. A latency begins when its request is sent.
 */
export async function openLoop(
  target: Target,
  options: { readonly rate: number; readonly seconds: number; readonly seed: number },
): Promise<Seen> {
  const { rate, seconds, seed } = options;
  const random = randomOf(seed, 1);
  return observe(target, seconds, async ({ send, lateness }) => {
    const startedAt = performance.now();
    const answers: Promise<void>[] = [];
    let due = startedAt;
    for (;;) {
      due += (-Math.log(1 - random()) / rate) * 1000;
      if (due > startedAt + seconds * 1000) break;
      const wait = due - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      lateness.record(Math.max(0, performance.now() - due));
      answers.push(send());
    }
    await Promise.all(answers);
  });
}

/** So many callers of whom each waits for its answer before it asks again. */
export async function callers(target: Target, count: number, seconds: number): Promise<Seen> {
  return observe(target, seconds, async ({ send }) => {
    const end = performance.now() + seconds * 1000;
    const caller = async () => {
      while (performance.now() < end) await send();
    };
    await Promise.all(Array.from({ length: count }, caller));
  });
}

interface Observed {
  /** Resolves when the answer has ended or failed. */
  readonly send: () => Promise<void>;
  readonly lateness: Latencies;
}

async function observe(
  target: Target,
  seconds: number,
  run: (observed: Observed) => Promise<void>,
): Promise<Seen> {
  const agent = new Agent({ connections: MOST_CONNECTIONS, pipelining: 1 });
  const [first, total, lateness] = [new Latencies(), new Latencies(), new Latencies()];
  const perSecond: number[] = new Array(Math.ceil(seconds)).fill(0);
  const startedAt = performance.now();
  let failed = 0;
  const send = async () => {
    const times = await exchange(agent, target);
    if (times === undefined) {
      failed++;
      return;
    }
    first.record(times.firstMs);
    total.record(times.totalMs);
    const second = Math.floor((performance.now() - startedAt) / 1000);
    if (second < perSecond.length) perSecond[second]!++;
  };
  await run({ send, lateness });
  await agent.close();
  return { first, total, failed, perSecond, lateness };
}

const MOST_CONNECTIONS = 1024;

/** Undefined when the answer is not 200, has no token or breaks off. */
function exchange(
  agent: Agent,
  { url, headers, body, hasToken = () => true }: Target,
): Promise<{ firstMs: number; totalMs: number } | undefined> {
  const { origin, pathname } = new URL(url);
  return new Promise((resolve) => {
    const sentAt = performance.now();
    let firstMs: number | undefined;
    let status = 0;
    agent.dispatch(
      {
        origin,
        path: pathname,
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: body(),
        headersTimeout: 0,
        bodyTimeout: 0,
      },
      {
        onRequestStart: () => {},
        onResponseStart: (_, statusCode) => {
          status = statusCode;
        },
        onResponseData: (_, piece) => {
          if (firstMs === undefined && hasToken(piece)) firstMs = performance.now() - sentAt;
        },
        onResponseEnd: () => {
          const totalMs = performance.now() - sentAt;
          resolve(status === 200 && firstMs !== undefined ? { firstMs, totalMs } : undefined);
        },
        onResponseError: () => resolve(undefined),
      },
    );
  });
}
