import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';

import type { GatewayKnobsInput } from '../../bench/simulators/gateway-knobs.js';
import { startSimulators } from '../../bench/simulators/start.js';
import {
  anOrchestrator,
  aTinyTask,
  type BrokerNames,
  freshNames,
  type Orchestrator,
  rabbitmqSection,
} from '../events/at-broker.js';
import { type GatewayStats, until } from '../service/at-service.js';
import type { SharedRabbit } from '../shared-rabbit.js';

/** A service in a process of its own. */
export interface ServiceNode {
  readonly url: string;
  readonly pid: number;
  readonly log: () => string;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** SIGTERM; resolves to the exit code. */
  stop(): Promise<number | null>;
}

export interface NodesUnderTest {
  readonly names: BrokerNames;
  readonly orchestrator: Orchestrator;
  /** Starts a node; resolves when it listens and is connected to the broker. */
  start(more?: { env?: Record<string, string>; rabbitUrl?: string }): Promise<ServiceNode>;
  knobs(knobs: GatewayKnobsInput): Promise<void>;
  stats(): Promise<GatewayStats>;
  close(): Promise<void>;
}

/** Nodes on one broker, with one store: a directory that they take turns in, or the database of `databaseUrl`. */
export async function atNodes(
  rabbit: Pick<SharedRabbit, 'url' | 'queues'>,
  options: { yaml?: string; rabbitmq?: readonly string[]; databaseUrl?: string } = {},
): Promise<NodesUnderTest> {
  const names = freshNames();
  const directory = mkdtempSync(join(tmpdir(), 'worker-nodes-'));
  const config = join(directory, 'config.yaml');
  writeFileSync(config, `${options.yaml ?? ''}\n${rabbitmqSection(names, options.rabbitmq)}`);
  const orchestrator = await anOrchestrator(rabbit.url, names);
  const simulators = await startSimulators({ kinds: ['gateway', 'rag'] });
  const control = (path: string) => `${simulators.gatewayUrl!.replace('/api/v1', '')}/_simulator/${path}`;
  const nodes = new Set<ServiceNode>();
  return {
    names,
    orchestrator,
    start: async ({ env = {}, rabbitUrl = rabbit.url } = {}) => {
      const node = await startNode({
        CONFIG_FILE: config,
        MODEL_GATEWAY_URL: simulators.gatewayUrl!,
        RAG_SERVICE_URL: simulators.ragUrl!,
        DATA_DIR: join(directory, 'data'),
        RABBITMQ_HOST: rabbitUrl,
        ...(options.databaseUrl !== undefined && { DATABASE_URL: options.databaseUrl }),
        ...env,
      });
      nodes.add(node);
      return node;
    },
    knobs: async (knobs) => {
      await (await request(control('knobs'), { method: 'DELETE' })).body.dump();
      await (await request(control('knobs'), { method: 'PUT', body: JSON.stringify(knobs) })).body.dump();
    },
    stats: async () => (await (await request(control('stats'))).body.json()) as never,
    close: async () => {
      await Promise.all([...nodes].map((node) => node.kill()));
      await simulators.close();
      await orchestrator.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

const main = fileURLToPath(new URL('../../server/main.js', import.meta.url));

async function startNode(env: Record<string, string>): Promise<ServiceNode> {
  const child: ChildProcess = spawn(process.execPath, [main], {
    env: {
      PATH: process.env.PATH,
      SERVICE_PORT: '0',
      HOST: '127.0.0.1',
      WORKERS: '1',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  let output = '';
  const collect = (text: Buffer) => {
    output += text.toString();
  };
  child.stdout!.on('data', collect);
  child.stderr!.on('data', collect);
  const end = () => child.kill('SIGKILL');
  process.once('exit', end);
  void exited.then(() => process.off('exit', end));
  const port = () => /"event":"listening".*?"port":(\d+)/.exec(output)?.[1];
  const connections = 2 * Number(env.WORKERS ?? 1);
  await until(() => {
    if (child.exitCode !== null) throw new Error(`the node ended: ${output}`);
    return port() !== undefined && output.split('"event":"broker_connected"').length > connections;
  }, 'a node that listens and is connected');
  return {
    url: `http://127.0.0.1:${port()}`,
    pid: child.pid!,
    log: () => output,
    kill: async () => {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await exited;
    },
    stop: async () => {
      child.kill('SIGTERM');
      const [code] = await exited;
      return code as number | null;
    },
  };
}

/** What was seen of a number of tasks, for a line in the output of a test. */
export async function account(
  under: NodesUnderTest,
  taskIds: readonly string[],
): Promise<{ tasks: number; outcomes: number; distinctIds: number; duplicates: number; modelCalls: number }> {
  const { byTask } = await under.stats();
  const wanted = new Set(taskIds);
  const seen = under.orchestrator.seen.filter(({ event }) => wanted.has(event.data.task_id));
  const ids = new Set(seen.map(({ event }) => event.id));
  return {
    tasks: wanted.size,
    outcomes: new Set(seen.map(({ event }) => event.data.task_id)).size,
    distinctIds: ids.size,
    duplicates: seen.length - ids.size,
    modelCalls: taskIds.reduce((sum, id) => sum + (byTask[id] ?? 0), 0),
  };
}

/** Tasks of the fastest tier. */
export function tinyTasks(count: number): ReturnType<typeof aTinyTask>[] {
  return Array.from({ length: count }, () => aTinyTask());
}

export function idsOf(tasks: readonly { readonly task_id: string }[]): string[] {
  return tasks.map(({ task_id }) => task_id);
}

/** Publishes all at once, and waits for the confirms. */
export async function publishAll(
  { orchestrator }: NodesUnderTest,
  tasks: readonly Readonly<Record<string, unknown>>[],
): Promise<void> {
  await Promise.all(tasks.map((task) => orchestrator.ready(task)));
}
