import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { connect } from 'amqplib';
import { Agent, request } from 'undici';
import { loadConfig } from '../../config/load.js';
import type { Config } from '../../config/schema.js';
import { domainNames } from '../../domains/registry.js';
import { consumed, type EventDriver, openEventDriver } from '../event-driver.js';
import { failedMetric } from '../findings.js';
import { Latencies, together } from '../latencies.js';
import { serviceEnvironment, startProcess } from '../processes.js';
import { type Findings, metric } from '../result.js';
import type { Bench, Scenario } from '../scenario.js';
import { startRabbit } from '../servers/rabbitmq.js';
import { tokensIn } from '../simulators/content.js';
import type { GatewayKnobsInput } from '../simulators/gateway-knobs.js';
import { outputs } from '../simulators/outputs.js';
import { randomOf } from '../simulators/random.js';
import { startSimulators } from '../simulators/start.js';
import { taskMaker } from '../tasks.js';

/** Every tier is kept at seven tenths of its slots on average; half of the tasks come by HTTP, half as events. */
export const scenario: Scenario = {
  question:
    'Does the shipped configuration keep each tier within its limit, with slow and very slow answers, and lose none?',
  rounds: 1,
  seconds: 180,
  run,
};

async function run(bench: Bench): Promise<Findings> {
  const config = loadConfig({ path: SHIPPED, env: {}, argv: [], domains: domainNames });
  const rabbit = await startRabbit();
  const simulators = await startSimulators({
    kinds: ['gateway', 'rag'],
    knobs: { gateway: { seed: bench.seed, perModel: knobsByModel(config) }, rag: { delayMs: 50 } },
  });
  const workers = availableParallelism();
  const service = await startProcess('../server/main.js', [], {
    ...serviceEnvironment(bench.directory, simulators.gatewayUrl!, '', workers),
    CONFIG_FILE: SHIPPED,
    RAG_SERVICE_URL: simulators.ragUrl!,
    RABBITMQ_HOST: rabbit.url,
  });
  const model = await connect(rabbit.url);
  try {
    for (const tier of Object.keys(config.tier_models))
      await consumed(rabbit.url, `${config.rabbitmq.queue_prefix}.ready.${tier}`, workers);
    const driver = await openEventDriver(model, config.rabbitmq.exchange);
    const rounds: Ledger[] = [];
    for (let round = 0; round < bench.rounds; round++) {
      bench.tell(`round ${round + 1} of ${bench.rounds}`);
      const ledger = openLedger(driver);
      await offer({ bench, config, round, url: service.url, driver, ledger });
      await ledger.settle(service.url);
      rounds.push(ledger);
    }
    return findings(config, rounds, workers);
  } finally {
    await service.close();
    await model.close();
    await simulators.close();
    await rabbit.close();
  }
}

const SHIPPED = fileURLToPath(new URL('../../../config/worker-service.yaml', import.meta.url));

/** Pace of the models of the shipped tiers; any other has the last one's. */
const paces = {
  tiny: { ttftMs: 150, tokensPerSecond: 300 },
  small: { ttftMs: 250, tokensPerSecond: 200 },
  large: { ttftMs: 400, tokensPerSecond: 150 },
  coding: { ttftMs: 600, tokensPerSecond: 100 },
  frontier: { ttftMs: 800, tokensPerSecond: 80 },
};
const HEAVY_TAIL = 0.8;
const UTILISATION = 0.7;
const EVENTS_SHARE = 0.5;
const DOMAIN = 'code-general';

function paceOf(tier: string) {
  return paces[tier as keyof typeof paces] ?? paces.frontier;
}

function knobsByModel(config: Config): Record<string, GatewayKnobsInput> {
  return Object.fromEntries(
    Object.entries(config.tier_models).map(([tier, { model }]) => [
      model,
      { ...paceOf(tier), heavyTail: HEAVY_TAIL },
    ]),
  );
}

/** Tasks a second that keep the tier at the wanted share of its slots. */
function rateOf(tier: string, concurrency: number): number {
  const { ttftMs, tokensPerSecond } = paceOf(tier);
  const median = ttftMs / 1000 + tokensIn(JSON.stringify(outputs[DOMAIN]).length) / tokensPerSecond;
  // The mean of a log-normal factor with median 1.
  return (UTILISATION * concurrency) / (median * Math.exp(HEAVY_TAIL ** 2 / 2));
}

/** What became of every task, by its id. */
interface Ledger {
  /** Of tasks that were completed. */
  readonly byTier: Map<string, Latencies>;
  readonly perSecond: number[];
  readonly outcomes: Map<string, number>;
  /** Ids of tasks without an end. */
  readonly lost: Set<string>;
  opened(id: string, tier: string): void;
  ended(id: string, how: string, ms: number): void;
  /** Waits for the ends of all, then asks the service for each that has ended well. */
  settle(url: string): Promise<void>;
}

function openLedger(driver: EventDriver): Ledger {
  const tiers = new Map<string, string>();
  const completed = new Set<string>();
  const startedAt = performance.now();
  const ledger: Ledger = {
    byTier: new Map(),
    perSecond: [],
    outcomes: new Map(),
    lost: new Set(),
    opened(id, tier) {
      tiers.set(id, tier);
      ledger.lost.add(id);
    },
    ended(id, how, ms) {
      ledger.lost.delete(id);
      ledger.outcomes.set(how, (ledger.outcomes.get(how) ?? 0) + 1);
      if (how === 'completed') {
        completed.add(id);
        const tier = tiers.get(id)!;
        if (!ledger.byTier.has(tier)) ledger.byTier.set(tier, new Latencies());
        // One that fails does so faster than any model answers.
        ledger.byTier.get(tier)!.record(ms);
      }
      const second = Math.floor((performance.now() - startedAt) / 1000);
      while (ledger.perSecond.length <= second) ledger.perSecond.push(0);
      ledger.perSecond[second]!++;
    },
    async settle(url) {
      await driver.drained(DRAIN_SECONDS);
      for (const id of completed) {
        const answer = await request(`${url}/tasks/${id}`);
        const { status } = (await answer.body.json()) as { status?: string };
        if (status !== 'completed') ledger.lost.add(id);
      }
    },
  };
  driver.onOutcome = ({ id, status, ms }) => ledger.ended(id, status, ms);
  return ledger;
}

/** Longer than any tier may take with its retries. */
const DRAIN_SECONDS = 900;

async function offer(parts: {
  readonly bench: Bench;
  readonly config: Config;
  readonly round: number;
  readonly url: string;
  readonly driver: EventDriver;
  readonly ledger: Ledger;
}): Promise<void> {
  const { bench, config, round, url, driver, ledger } = parts;
  const agent = new Agent({ connections: 512, headersTimeout: 0, bodyTimeout: 0 });
  const answers: Promise<void>[] = [];
  const execute = async (id: string, data: object) => {
    const sentAt = performance.now();
    try {
      const headers = { 'content-type': 'application/json' };
      const body = JSON.stringify(data);
      const answer = await request(`${url}/execute`, { method: 'POST', headers, body, dispatcher: agent });
      const { code } = (await answer.body.json()) as { code?: string };
      ledger.ended(
        id,
        answer.statusCode === 200 ? 'completed' : (code ?? 'unknown'),
        performance.now() - sentAt,
      );
    } catch {
      // The connection broke: the task has no end, and stays among the lost.
    }
  };
  const tierLoad = async (tier: string, stream: number) => {
    const random = randomOf(bench.seed, stream);
    const rate = rateOf(tier, config.queues[tier]!.concurrency);
    const next = taskMaker(bench.seed, `sla-${round}-${tier}`, { tier, domain: DOMAIN, context: null });
    const startedAt = performance.now();
    let due = startedAt;
    for (;;) {
      due += (-Math.log(1 - random()) / rate) * 1000;
      if (due > startedAt + bench.seconds * 1000) return;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
      const { id, data } = next();
      ledger.opened(id, tier);
      if (random() < EVENTS_SHARE) driver.publish({ id, data }, tier);
      else answers.push(execute(id, data));
    }
  };
  await Promise.all(Object.keys(config.tier_models).map((tier, index) => tierLoad(tier, index)));
  await Promise.all(answers);
  await agent.close();
}

function findings(config: Config, rounds: readonly Ledger[], workers: number): Findings {
  const tiers = Object.keys(config.tier_models);
  const of = (tier: string) => rounds.map(({ byTier }) => byTier.get(tier) ?? new Latencies());
  const ends = rounds.map(({ outcomes }) => [...outcomes.values()].reduce((sum, count) => sum + count, 0));
  const completed = rounds.map(({ outcomes }) => outcomes.get('completed') ?? 0);
  const others = new Map<string, number>();
  for (const { outcomes } of rounds)
    for (const [how, count] of outcomes)
      if (how !== 'completed') others.set(how, (others.get(how) ?? 0) + count);
  return {
    metrics: [
      metric(
        'lost tasks',
        'tasks',
        rounds.map(({ lost }) => lost.size),
        { better: 'lower', aim: { atMost: 0 } },
      ),
      failedMetric(
        'all tiers',
        rounds.map((_, round) => ends[round]! - completed[round]!),
      ),
      ...tiers.flatMap((tier) => [
        metric(
          `${tier}: P95`,
          's',
          of(tier).map((latencies) => latencies.at(95) / 1000),
          { better: 'lower', aim: { atMost: config.queues[tier]!.timeout } },
        ),
        metric(
          `${tier}: completed`,
          'tasks',
          of(tier).map(({ count }) => count),
        ),
      ]),
      metric('tasks', 'tasks', ends),
      metric('completed', 'tasks', completed, { better: 'higher' }),
    ],
    recordings: [
      ...tiers.map((name) => ({ name, latency: together(of(name)).distribution(), perSecond: [] })),
      { name: 'all tiers', perSecond: rounds.map(({ perSecond }) => perSecond) },
    ],
    notes: [
      `${workers} workers, config/worker-service.yaml as it is; each answer of a model is slower or faster by a log-normal factor (σ ${HEAVY_TAIL}); ${UTILISATION * 100}% of the slots on average; half by HTTP, half as events.`,
      `Ends that are not completed: ${others.size === 0 ? 'none' : [...others].map(([how, count]) => `${how} ${count}`).join(', ')}.`,
    ],
  };
}
