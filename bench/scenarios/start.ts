import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import { serviceEnvironment } from '../processes.js';
import { type Findings, metric } from '../result.js';
import { takeTurns } from '../rounds.js';
import type { Bench, Scenario } from '../scenario.js';
import { freePort } from '../servers/processes.js';
import { startRabbit } from '../servers/rabbitmq.js';
import { taskMaker } from '../tasks.js';

/** The embedded model answers at once, so that its pace is not counted. */
export const scenario: Scenario = {
  question:
    'How long does it take from the start of the process to its first 200, embedded and with a broker?',
  rounds: 7,
  seconds: 1,
  run,
};

async function run(bench: Bench): Promise<Findings> {
  const rabbit = await startRabbit();
  let number = 0;
  const starting = (environment: Record<string, string>) => () => {
    number++;
    return startOnce(join(bench.directory, String(number)), environment, bench.seed);
  };
  try {
    const { embedded, broker } = await takeTurns(bench, {
      embedded: starting({}),
      broker: starting({ RABBITMQ_HOST: rabbit.url }),
    });
    const metrics = (name: string, starts: readonly Start[]) => [
      metric(
        `${name}: first 200 of /health/ready`,
        'ms',
        starts.map(({ readyMs }) => readyMs),
        { better: 'lower' },
      ),
      metric(
        `${name}: first 200 of POST /execute`,
        'ms',
        starts.map(({ executedMs }) => executedMs),
        { better: 'lower' },
      ),
    ];
    return {
      metrics: [...metrics('embedded', embedded), ...metrics('with a broker', broker)],
      recordings: [],
      notes: ['One process with an empty store; the task is sent when the service is ready.'],
    };
  } finally {
    await rabbit.close();
  }
}

interface Start {
  readonly readyMs: number;
  readonly executedMs: number;
}

async function startOnce(
  directory: string,
  environment: Record<string, string>,
  seed: number,
): Promise<Start> {
  const port = await freePort();
  const { MODEL_GATEWAY_URL, RAG_SERVICE_URL, ...own } = serviceEnvironment(directory, '', CONFIGURATION);
  const main = fileURLToPath(new URL('../../server/main.js', import.meta.url));
  const startedAt = performance.now();
  const child = spawn(process.execPath, [main], {
    env: { PATH: process.env.PATH, ...own, ...environment, SERVICE_PORT: String(port) },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exited = once(child, 'exit');
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  try {
    await succeeds(child, `http://127.0.0.1:${port}/health/ready`);
    const readyMs = performance.now() - startedAt;
    const body = JSON.stringify(taskMaker(seed, 'start')().data);
    await succeeds(child, `http://127.0.0.1:${port}/execute`, body);
    return { readyMs, executedMs: performance.now() - startedAt };
  } finally {
    child.kill('SIGTERM');
    await exited;
    process.off('exit', kill);
  }
}

const CONFIGURATION = 'embedded: {simulator: {ttftMs: 0, tokensPerSecond: 0}}\n';

/** Asks until the answer is 200. */
async function succeeds(child: ChildProcess, url: string, body?: string): Promise<void> {
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('the service ended');
    const status = await (body === undefined
      ? request(url)
      : request(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    ).then(
      async (answer) => {
        await answer.body.dump();
        return answer.statusCode;
      },
      () => 0, // it does not listen yet
    );
    if (status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
