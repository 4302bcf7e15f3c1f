import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import { childrenOf } from '../../bench/servers/processes.js';
import type { GatewayKnobsInput } from '../../bench/simulators/gateway-knobs.js';
import { startSimulators } from '../../bench/simulators/start.js';
import { until } from '../service/at-service.js';

/** A service of several processes. */
export interface ClusterUnderTest {
  readonly url: string;
  readonly primary: ChildProcess;
  /** Of the gateway simulator beside it. */
  readonly gatewayUrl: string;
  readonly log: () => string;
  /** How often the log tells of an event. */
  times(event: string): number;
  /** Process ids of the workers that are alive. */
  workers(): number[];
  /** Writes another configuration, for the workers that start from now on. */
  configure(yaml: string): void;
  knobs(knobs: GatewayKnobsInput): Promise<void>;
  stats(): Promise<{ calls: number; open: number; maxOpen: number; byTask: Record<string, number> }>;
  resetStats(): Promise<void>;
  /** Resolves to the exit code of the primary. */
  exited: Promise<number | null>;
  close(): Promise<void>;
}

const main = fileURLToPath(new URL('../../server/main.js', import.meta.url));

/** @param whileStarting sees the primary before any worker listens. */
export async function atCluster(
  yaml = '',
  env: Record<string, string> = {},
  whileStarting: (primary: ChildProcess) => void = () => {},
): Promise<ClusterUnderTest> {
  const directory = mkdtempSync(join(tmpdir(), 'worker-cluster-'));
  const config = join(directory, 'config.yaml');
  const configure = (text: string) => writeFileSync(config, text);
  configure(yaml);
  const simulators = await startSimulators({ kinds: ['gateway', 'rag'] });
  const control = (path: string) => `${simulators.gatewayUrl!.replace('/api/v1', '')}/_simulator/${path}`;
  const primary = spawn(process.execPath, [main], {
    env: {
      PATH: process.env.PATH,
      CONFIG_FILE: config,
      MODEL_GATEWAY_URL: simulators.gatewayUrl!,
      RAG_SERVICE_URL: simulators.ragUrl!,
      DATA_DIR: join(directory, 'data'),
      SERVICE_PORT: '0',
      HOST: '127.0.0.1',
      WORKERS: '2',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(primary, 'exit').then(([code]) => code as number | null);
  const end = () => primary.kill('SIGKILL'); // its workers end when they miss it
  process.once('exit', end);
  void exited.then(() => process.off('exit', end));
  let output = '';
  const collect = (text: Buffer) => {
    output += text.toString();
  };
  primary.stdout.on('data', collect);
  primary.stderr.on('data', collect);
  whileStarting(primary);
  // One process has no primary, which says it last.
  const listening =
    env.WORKERS === '1'
      ? /"event":"listening"[^\n]*?"port":(\d+)/
      : /"event":"listening"[^\n]*?"port":(\d+)[^\n]*"workers"/;
  const port = () => listening.exec(output)?.[1];
  const close = async () => {
    primary.kill('SIGTERM');
    await exited;
    await simulators.close();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await until(() => {
      if (primary.exitCode !== null) throw new Error(`the primary ended: ${output}`);
      return port() !== undefined;
    }, 'a cluster that listens');
  } catch (error) {
    await close(); // what still runs would keep the test from ending
    throw error;
  }
  return {
    url: `http://127.0.0.1:${port()}`,
    primary,
    gatewayUrl: simulators.gatewayUrl!,
    log: () => output,
    times: (event) => output.split(`"event":"${event}"`).length - 1,
    workers: () => childrenOf(primary.pid!),
    configure,
    knobs: async (knobs) => {
      await (await request(control('knobs'), { method: 'DELETE' })).body.dump();
      await (await request(control('knobs'), { method: 'PUT', body: JSON.stringify(knobs) })).body.dump();
    },
    stats: async () => (await (await request(control('stats'))).body.json()) as never,
    resetStats: async () => {
      await (await request(control('stats'), { method: 'DELETE' })).body.dump();
    },
    exited,
    close,
  };
}

/** Lets the workers be replaced by such of another configuration. */
export async function reloadWith(under: ClusterUnderTest, yaml: string): Promise<void> {
  under.configure(yaml);
  under.primary.kill('SIGHUP');
  await until(() => under.log().includes('"event":"reloaded"'), 'the end of the reload');
}
