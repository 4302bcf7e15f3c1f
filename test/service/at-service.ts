import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from 'undici';
import type { GatewayKnobsInput } from '../../bench/simulators/gateway-knobs.js';
import type { RagKnobsInput } from '../../bench/simulators/rag-knobs.js';
import { startSimulators } from '../../bench/simulators/start.js';
import type { LoggedCall } from '../../bench/simulators/stats.js';
import { loadConfig } from '../../config/load.js';
import type { Config } from '../../config/schema.js';
import { domainNames } from '../../domains/registry.js';
import type { Log } from '../../server/log.js';
import { type Service, startService } from '../../server/service.js';

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  readonly body: any;
}

export interface GatewayStats {
  readonly calls: number;
  readonly byTask: Readonly<Record<string, number>>;
  readonly open: number;
  readonly maxOpen: number;
  readonly clientClosedCalls: readonly { readonly task: string; readonly at: number }[];
  readonly lastCalls: readonly LoggedCall[];
  readonly connections: { readonly opened: number };
  // biome-ignore lint/suspicious/noExplicitAny: a recorded body has the shape of its protocol
  readonly requests: readonly any[];
}

/** A service with simulators beside it, all on real sockets. */
export interface ServiceUnderTest {
  url: string;
  readonly directory: string;
  readonly config: Config;
  readonly logged: object[];
  knobs(knobs: GatewayKnobsInput): Promise<void>;
  ragKnobs(knobs: RagKnobsInput): Promise<void>;
  stats(): Promise<GatewayStats>;
  resetStats(): Promise<void>;
  ragCalls(): Promise<number>;
  ragStats(): Promise<GatewayStats>;
  execute(task: object, headers?: Record<string, string>): Promise<Answer>;
  ask(method: 'GET' | 'DELETE' | 'PUT' | 'POST', path: string): Promise<Answer>;
  restart(): Promise<void>;
  stop(): Promise<void>;
  close(): Promise<void>;
}

export async function atService(yaml = oneTier, env: Record<string, string> = {}): Promise<ServiceUnderTest> {
  const directory = mkdtempSync(join(tmpdir(), 'worker-service-'));
  const configFile = join(directory, 'config.yaml');
  writeFileSync(configFile, yaml);
  const simulators = await startSimulators({ kinds: ['gateway', 'rag'] });
  const logged: object[] = [];
  const note = (entry: unknown) => {
    logged.push(entry as object);
  };
  const log = {
    level: 'info',
    debug: () => {},
    info: note,
    warn: note,
    error: note,
    fatal: note,
  } as unknown as Log;
  const config = loadConfig({
    env: {
      CONFIG_FILE: configFile,
      MODEL_GATEWAY_URL: simulators.gatewayUrl,
      RAG_SERVICE_URL: simulators.ragUrl,
      DATA_DIR: join(directory, 'data'),
      SERVICE_PORT: '0',
      HOST: '127.0.0.1',
      ...env,
    },
    argv: [],
    domains: domainNames,
  });
  let service: Service = await startService(config, log).catch(async (error: Error) => {
    await simulators.close();
    rmSync(directory, { recursive: true, force: true });
    throw error;
  });
  const control = (url: string, path: string) => `${url.replace('/api/v1', '')}/_simulator/${path}`;
  const set = async (url: string, knobs: object) => {
    await (await request(control(url, 'knobs'), { method: 'DELETE' })).body.dump();
    const answer = await request(control(url, 'knobs'), { method: 'PUT', body: JSON.stringify(knobs) });
    if (answer.statusCode >= 300) throw new Error(await answer.body.text());
    await answer.body.dump();
  };
  const statsOf = async (url: string) => (await request(control(url, 'stats'))).body.json();
  const ask: ServiceUnderTest['ask'] = (method, path) => call(`${under.url}${path}`, method);
  const under: ServiceUnderTest = {
    url: `http://127.0.0.1:${service.port}`,
    directory,
    config,
    logged,
    knobs: (knobs) => set(simulators.gatewayUrl!, knobs),
    ragKnobs: (knobs) => set(simulators.ragUrl!, knobs),
    stats: async () => (await statsOf(simulators.gatewayUrl!)) as GatewayStats,
    resetStats: async () => {
      await (await request(control(simulators.gatewayUrl!, 'stats'), { method: 'DELETE' })).body.dump();
    },
    ragCalls: async () => (await under.ragStats()).calls,
    ragStats: async () => (await statsOf(simulators.ragUrl!)) as GatewayStats,
    ask,
    execute: (task, headers = {}) =>
      call(`${under.url}/execute`, 'POST', JSON.stringify(task), {
        'content-type': 'application/json',
        ...headers,
      }),
    restart: async () => {
      await service.close();
      service = await startService(config, log);
      under.url = `http://127.0.0.1:${service.port}`;
    },
    stop: () => service.close(),
    close: async () => {
      await service.close();
      await simulators.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  return under;
}

export async function call(
  url: string,
  method: 'GET' | 'DELETE' | 'PUT' | 'POST',
  body?: string | Uint8Array,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const answer = await request(url, { method, headers, ...(body !== undefined && { body }) });
  const text = await answer.body.text();
  const isJson = /json/.test(String(answer.headers['content-type']));
  return {
    status: answer.statusCode,
    headers: answer.headers,
    text,
    body: isJson ? JSON.parse(text) : undefined,
  };
}

/** A caller who has sent his task, and reads nothing of the answer until the socket is resumed. */
export function aSlowReader({ url }: Pick<ServiceUnderTest, 'url'>, task: object, accept: string): Socket {
  const body = JSON.stringify(task);
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.pause();
  socket.write(
    `POST /execute HTTP/1.1\r\nhost: x\r\naccept: ${accept}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  return socket;
}

/**
 * Reads the answer of a slow reader, an output of `documentation` with the summary `s`, to its end or that of the
 * connection. Resolves to its bytes.
 */
export async function readToEnd(socket: Socket): Promise<number> {
  let received = 0;
  let tail = '';
  socket.on('data', (part) => {
    received += part.length;
    tail = (tail + part.toString('latin1')).slice(-100);
  });
  socket.resume();
  await until(() => socket.closed || /"summary":"s"\}\}(?:$|\s)/.test(tail), 'the end of the answer');
  socket.destroy();
  return received;
}

/**
 * The sections of a service that has the tier `tiny` and no other: a start takes a quarter less CPU than with the threads
 * of all five.
 */
export const oneTier = [
  `workers: {${domainNames.map((domain) => `${domain}: {default_tier: tiny}`).join(', ')}}`,
  'tier_models: {tiny: {model: "gemma3:4b", endpoint: ollama_gpu_general}}',
].join('\n');

/** The sections of a service that has the tier `tiny` and no other, with so many slots. */
export function onlyTiny(concurrency: number, timeoutSeconds: number): string {
  return `${oneTier}\n${tinySlots(concurrency, timeoutSeconds)}`;
}

/** The section of a service with all tiers, of which a test uses `tiny`. */
export function tinySlots(concurrency: number, timeoutSeconds: number): string {
  return `queues: {tiny: {concurrency: ${concurrency}, timeout: ${timeoutSeconds}}}`;
}

let taskNumber = 0;

/** A task with an id of its own, in the tier whose model is quick to count. */
export function aTask(more: object = {}): { task_id: string } & Record<string, unknown> {
  taskNumber++;
  return {
    task_id: `task-${taskNumber}-${process.pid}`,
    description: 'Create fibonacci function',
    domain: 'code-general',
    context: 'none',
    ...more,
  };
}

/** The events of a text/event-stream answer. */
// biome-ignore lint/suspicious/noExplicitAny: each event has its own data
export function eventsOf(text: string): { event: string; data: any }[] {
  return [...text.matchAll(/^event: (\S+)\ndata: (.*)$/gm)].map(([, event, data]) => ({
    event: event!,
    data: JSON.parse(data!),
  }));
}

/** The text that the events have brought. */
export function deltasOf(events: ReturnType<typeof eventsOf>): string {
  return events.map(({ event, data }) => (event === 'delta' ? data.text : '')).join('');
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Waits until something is so, up to 120 s: on a machine that is busy elsewhere things take long.
 * @throws {Error} when it never is.
 */
export async function until(isSo: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const limit = Date.now() + 120_000;
  while (!(await isSo())) {
    if (Date.now() > limit) throw new Error(`never: ${what}`);
    await sleep(10);
  }
}
