import { readFileSync } from 'node:fs';
import { type ChannelModel, connect } from 'amqplib';
import { consumed } from '../event-driver.js';
import { failedMetric, recordingOf } from '../findings.js';
import { startInstantModel } from '../instant-model.js';
import { callers, openLoop, type Seen, type Target } from '../open-loop.js';
import { serviceEnvironment, startProcess } from '../processes.js';
import { type Findings, type Metric, metric, type Recording } from '../result.js';
import { takeTurns } from '../rounds.js';
import type { Bench, Scenario } from '../scenario.js';
import { startRabbit } from '../servers/rabbitmq.js';
import { directCall, taskMaker } from '../tasks.js';

/** An instant model of 20 chunks, so that nothing of the service hides behind it. Everything is switched on: retriever, store, broker. */
export const scenario: Scenario = {
  question:
    'How much latency does the service add to a direct call of the gateway, to the first token and in total?',
  rounds: 3,
  seconds: 5,
  run,
};

async function run(bench: Bench): Promise<Findings> {
  const simulators = await startInstantModel(['gateway', 'rag']);
  const rabbit = await startRabbit();
  const service = await startProcess('../server/main.js', [], {
    ...serviceEnvironment(bench.directory, simulators.gatewayUrl!, CONFIGURATION),
    RAG_SERVICE_URL: simulators.ragUrl!,
    RABBITMQ_HOST: rabbit.url,
  });
  const floor = await startProcess('floors/relay.js', [simulators.gatewayUrl!]);
  const targets = targetsOf(
    { service: service.url, gateway: simulators.gatewayUrl!, floor: floor.url },
    bench.seed,
  );
  const metrics: Metric[] = [];
  const recordings: Recording[] = [];
  const model = await connect(rabbit.url);
  try {
    await consumed(rabbit.url, 'worker.task.ready.small', 1);
    await takeOutcomes(model);
    for (const [load, play] of loadsOf(bench.seed)) {
      bench.tell(load);
      const seen = await takeTurns(bench, {
        direct: (seconds) => play(targets.direct, seconds),
        stream: (seconds) => play(targets.stream, seconds),
        whole: (seconds) => play(targets.whole, seconds),
        floor: (seconds) => play(targets.floor, seconds),
      });
      metrics.push(...metricsOf(load, seen));
      recordings.push(seenOf(`direct, ${load}`, seen.direct), seenOf(`service, ${load}`, seen.whole));
    }
  } finally {
    await service.close();
    await floor.close();
    await model.close();
    await rabbit.close();
    await simulators.close();
  }
  return {
    metrics,
    recordings,
    notes: [
      'Added latency is the percentile through the service minus the same percentile of the direct call, round by round: total of the whole JSON answer against the end of the direct stream, first token of the server-sent events against that of the direct stream.',
      'The floor is a bare relay (uWebSockets.js in, undici out, no thread, no store): what one more process on the way costs on this machine.',
      'A broker is connected, and gets an event for every outcome. The context is retrieved; the retriever answers the first task of each description, then the cache.',
    ],
  };
}

const RATE = 300;
const CONCURRENCIES = [1, 4, 16, 64];
const CONFIGURATION = `queues: {small: {concurrency: 256, timeout: 120}}\n`;

/** A queue for the outcomes' events that keeps the last ones, so that nobody has to read them meanwhile. */
async function takeOutcomes(model: ChannelModel): Promise<void> {
  const channel = await model.createChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true, maxLength: 1000 });
  for (const key of ['task.output.created', 'task.failed']) await channel.bindQueue(queue, 'tasks', key);
}

type Play = (target: Target, seconds: number) => Promise<Seen>;

function loadsOf(seed: number): [string, Play][] {
  return [
    [`${RATE}/s`, (target, seconds) => openLoop(target, { rate: RATE, seconds, seed })],
    ...CONCURRENCIES.map((count): [string, Play] => [
      `${count} ${count === 1 ? 'caller' : 'callers'}`,
      (target, seconds) => callers(target, count, seconds),
    ]),
  ];
}

type Targets = Record<'direct' | 'stream' | 'whole' | 'floor', Target>;

function targetsOf(urls: Record<'service' | 'gateway' | 'floor', string>, seed: number): Targets {
  const system = readFileSync(new URL('../../../prompts/workers/code_general.md', import.meta.url), 'utf8');
  const direct = JSON.stringify(directCall(system, 'gemma3:12b'));
  const next = taskMaker(seed, 'overhead', { context: null });
  const body = () => JSON.stringify(next().data);
  const url = `${urls.service}/execute`;
  return {
    direct: {
      url: `${urls.gateway}/chat/completions`,
      body: () => direct,
      hasToken: (piece: Buffer) => piece.includes('"content":"'),
    },
    stream: {
      url,
      headers: { accept: 'text/event-stream' },
      body,
      hasToken: (piece: Buffer) => piece.includes('event: delta'),
    },
    whole: { url, body },
    floor: { url: `${urls.floor}/execute`, body },
  };
}

function metricsOf(load: string, seen: Record<keyof Targets, Seen[]>): Metric[] {
  const isAimed = load === `${RATE}/s`;
  const lower = (title: string, values: readonly number[], aimMs?: number) =>
    metric(`${load}: ${title}`, 'ms', values, {
      better: 'lower',
      ...(isAimed && aimMs !== undefined && { aim: { atMost: aimMs } }),
    });
  const added = (of: readonly Seen[], what: 'first' | 'total', percentile: number) =>
    of.map((round, index) => round[what].at(percentile) - seen.direct[index]![what].at(percentile));
  const all = Object.values(seen).flat();
  const late = all.map(({ lateness }) => lateness.at(99));
  return [
    lower('added to the total, p50', added(seen.whole, 'total', 50), 0.6),
    lower('added to the total, p99', added(seen.whole, 'total', 99), 3),
    lower('added to the first token, p50', added(seen.stream, 'first', 50)),
    lower('added to the first token, p99', added(seen.stream, 'first', 99)),
    lower('added to the total by the floor, p50', added(seen.floor, 'total', 50)),
    lower('added to the total by the floor, p99', added(seen.floor, 'total', 99)),
    lower(
      'direct, total p50',
      seen.direct.map(({ total }) => total.at(50)),
    ),
    failedMetric(
      load,
      all.map(({ failed }) => failed),
    ),
    ...(isAimed ? [lower('sent late by the load generator, p99', late)] : []),
  ];
}

function seenOf(name: string, rounds: readonly Seen[]): Recording {
  return recordingOf(
    name,
    rounds.map(({ total, perSecond }) => ({ latencies: total, perSecond })),
  );
}
