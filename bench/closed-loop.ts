import autocannon from 'autocannon';
import type { LoadRound } from './findings.js';
import { Latencies } from './latencies.js';
import type { BenchProcess } from './processes.js';

/** What a server did in one round; what counts are answers with 2xx within the time. */
export interface Round extends LoadRound {
  /** Answers with 2xx, with those that came after the time was up. */
  readonly answered: number;
  /** Answers that are not 2xx, and connections that broke. */
  readonly failed: number;
}

export interface ClosedLoop {
  readonly connections: number;
  readonly seconds: number;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: () => string;
}

/** Callers of whom each waits for its answer before it asks again, played by autocannon. */
export async function closedLoop(
  server: Pick<BenchProcess, 'url' | 'cpuMicros'>,
  loop: ClosedLoop,
): Promise<Round> {
  const latencies = new Latencies();
  const perSecond: number[] = new Array(Math.ceil(loop.seconds)).fill(0);
  const cpuBefore = server.cpuMicros();
  const startedAt = performance.now();
  let answered = 0;
  const running = autocannon({
    url: server.url,
    connections: loop.connections,
    duration: loop.seconds,
    requests: [
      {
        method: 'POST',
        path: loop.path,
        headers: { 'content-type': 'application/json', ...loop.headers },
        setupRequest: (request) => ({ ...request, body: loop.body() }),
      },
    ],
  });
  // Its own latencies are whole milliseconds, and it ends at a tick of its clock, not after the given time.
  running.on('response', (_, status, __, milliseconds) => {
    if (status < 200 || status > 299) return;
    answered++;
    const second = (performance.now() - startedAt) / 1000;
    if (second >= loop.seconds) return;
    latencies.record(milliseconds);
    perSecond[Math.floor(second)]!++;
  });
  const { non2xx, errors } = await running;
  return {
    rate: latencies.count / loop.seconds,
    answered,
    perSecond,
    latencies,
    cpuMicros: (server.cpuMicros() - cpuBefore) / Math.max(1, answered),
    failed: non2xx + errors,
  };
}
