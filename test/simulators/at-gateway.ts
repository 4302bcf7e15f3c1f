import { createParser } from 'eventsource-parser';
import { Agent, request } from 'undici';
import { startGateway } from '../../bench/simulators/gateway.js';
import type { GatewayKnobsInput } from '../../bench/simulators/gateway-knobs.js';
import type { Stats } from '../../bench/simulators/stats.js';

/** A gateway for the length of one test, and the ways to call it. */
export interface TestGateway {
  readonly url: string;
  /** Streams a chat completion to its end, however it ends. */
  chat(body?: object, headers?: Readonly<Record<string, string>>): Promise<Answer>;
  post(path: string, body: unknown, signal?: AbortSignal): Promise<Answer>;
  put(knobs: object): Promise<number>;
  stats(): Promise<Stats>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** The pieces in which the body arrived. */
  readonly pieces: readonly Buffer[];
  /** `code` or name of the error with which the body broke off. */
  readonly error: string | null;
  /** Milliseconds until the headers, and until the end. */
  readonly headersMs: number;
  readonly endMs: number;
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into JSON whose shape is what they test
export type Json = any;

/** Runs a test against a gateway of its own. */
export async function atGateway(
  knobs: GatewayKnobsInput,
  test: (gateway: TestGateway) => Promise<void>,
): Promise<void> {
  const simulator = await startGateway({ port: 0, knobs });
  const dispatcher = new Agent({ connections: 64 });
  const call = (path: string, method: string, body: unknown, headers = {}, signal?: AbortSignal) =>
    callOnce(dispatcher, simulator.url + path, method, body, headers, signal);
  try {
    await test({
      url: simulator.url,
      chat: (body = {}, headers = {}) => call('/chat/completions', 'POST', aChat(body), headers),
      post: (path, body, signal) => call(path, 'POST', body, {}, signal),
      put: async (input) => (await call('/_simulator/knobs', 'PUT', input)).status,
      stats: async () => JSON.parse((await call('/_simulator/stats', 'GET', undefined)).text),
    });
  } finally {
    await dispatcher.destroy();
    await simulator.close();
  }
}

/** A streamed chat completion request. */
export function aChat(over: object = {}): object {
  return {
    model: 'gemma3:12b',
    stream: true,
    stream_options: { include_usage: true },
    messages: [{ role: 'user', content: 'Create fibonacci function' }],
    ...over,
  };
}

/** The data of each event, parsed; `[DONE]` stays a text. */
export function eventsOf(answer: Answer): Json[] {
  const events: Json[] = [];
  const parser = createParser({
    onEvent: ({ data }) => events.push(data === '[DONE]' ? data : JSON.parse(data)),
  });
  parser.feed(answer.text);
  return events;
}

/** The deltas of a chat stream. */
export function deltasOf(answer: Answer): Json[] {
  return eventsOf(answer).flatMap((event) => event.choices?.map((choice: Json) => choice.delta) ?? []);
}

/** The texts of the deltas that have one. */
export function textsOf(answer: Answer): string[] {
  return deltasOf(answer).flatMap((delta) => (typeof delta.content === 'string' ? [delta.content] : []));
}

/** Waits until it holds, for at most 30 s. */
export async function eventually(holds: () => Promise<boolean>): Promise<void> {
  const limit = Date.now() + 30_000;
  while (!(await holds())) {
    if (Date.now() > limit) throw new Error(`never true: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function callOnce(
  dispatcher: Agent,
  url: string,
  method: string,
  body: unknown,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  const start = performance.now();
  const response = await request(url, {
    dispatcher,
    method: method as 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
    signal: signal ?? null,
  });
  const headersMs = performance.now() - start;
  const pieces: Buffer[] = [];
  let error: string | null = null;
  try {
    for await (const piece of response.body) pieces.push(piece);
  } catch (caught) {
    error = (caught as { code?: string }).code ?? (caught as Error).name;
  }
  return {
    status: response.statusCode,
    headers: response.headers,
    text: Buffer.concat(pieces).toString(),
    pieces,
    error,
    headersMs,
    endMs: performance.now() - start,
  };
}
