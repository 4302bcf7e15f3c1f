import { answerControl, knobPanel } from './control.js';
import { errorBody } from './errors.js';
import { type GatewayKnobsInput, gatewayDefaults } from './gateway-knobs.js';
import { answerCall, type CallDesk, openDesk } from './generation.js';
import { type Exchange, reply, serveHttp } from './http.js';
import { mergeGatewayKnobs } from './merge-gateway-knobs.js';
import { readChatRequest, readGenerateRequest } from './requests.js';
import { recordStats } from './stats.js';

/** A running simulator. */
export interface Simulator {
  /** Base URL, with `/api/v1`. */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Starts a model gateway on 127.0.0.1 that answers at once and well, unless its knobs say otherwise.
 * @param options.port 0 takes a free one.
 * @throws {KnobError} when a knob is unknown or its value is not allowed.
 */
export async function startGateway(options: {
  readonly port: number;
  readonly knobs?: GatewayKnobsInput;
}): Promise<Simulator> {
  const defaults = mergeGatewayKnobs(gatewayDefaults, options.knobs ?? {});
  const stats = recordStats();
  const desk = openDesk(knobPanel(defaults, mergeGatewayKnobs), stats);
  const server = await serveHttp(options.port, {
    request: (exchange) => route(desk, exchange),
    connectionOpened: stats.connectionOpened,
    connectionClosed: stats.connectionClosed,
  });
  return { url: `http://127.0.0.1:${server.port}/api/v1`, close: server.close };
}

/** Body of `GET /health`. */
export function health(): string {
  return JSON.stringify({ status: 'healthy', version: '1.0.0', timestamp: new Date().toISOString() });
}

const readers = {
  'POST /chat/completions': readChatRequest,
  'POST /generate': readGenerateRequest,
} as const;

function route(desk: CallDesk, exchange: Exchange): void {
  const path = exchange.path.replace(/^(?:\/api)?\/v1(?=\/)/, '');
  const target = `${exchange.method} ${path}`;
  if (target in readers) {
    const read = readers[target as keyof typeof readers];
    answerCall(desk, exchange, read(exchange.body, exchange.headers));
    return;
  }
  if (answerControl(exchange, path, desk.panel, desk.stats)) return;
  const found = exchange.method === 'GET' ? resource(path) : undefined;
  if (found !== undefined) reply(exchange, 200, found);
  else reply(exchange, 404, errorBody(404, `There is no ${exchange.method} ${exchange.path}.`));
}

function resource(path: string): string | undefined {
  if (path === '/health') return health();
  if (path === '/models') return JSON.stringify({ object: 'list', data: models });
  if (!path.startsWith('/models/')) return undefined;
  const name = decoded(path.slice('/models/'.length));
  const model = models.find(({ id }) => id === name);
  return model && JSON.stringify(model);
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

const models = [
  { id: 'gemma3:4b', owned_by: 'ollama', context_window: 32_768 },
  { id: 'gemma3:12b', owned_by: 'ollama', context_window: 32_768 },
  { id: 'openai/gpt-oss-20b', owned_by: 'vllm', context_window: 32_768 },
  { id: 'qwen3-coder:30b-a3b-q8_0-64k', owned_by: 'ollama', context_window: 65_536 },
  { id: 'claude-sonnet-4-20250514', owned_by: 'anthropic', context_window: 200_000 },
].map((model) => ({ ...model, object: 'model', created: 1_735_689_600 }));
