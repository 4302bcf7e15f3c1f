import { answerControl, type KnobPanel, knobPanel } from './control.js';
import { health, type Simulator } from './gateway.js';
import { type Exchange, headOf, reply, serveHttp } from './http.js';
import { mergeRagKnobs, type RagKnobs, type RagKnobsInput, ragDefaults } from './rag-knobs.js';
import { type Found, indexDocuments, type Question, type Retriever } from './retriever.js';
import { sourceMark } from './sections.js';
import { type OpenCall, recordStats, type StatsRecorder } from './stats.js';

/**
 * Starts a RAG service on 127.0.0.1 that searches the documents of a folder.
 * @param options.port 0 takes a free one.
 * @throws {KnobError} when a knob is unknown or its value is not allowed; the file system's error when the
 *   folder cannot be read.
 */
export async function startRag(options: {
  readonly port: number;
  readonly documents: string;
  readonly knobs?: RagKnobsInput;
}): Promise<Simulator> {
  const rag: Rag = {
    panel: knobPanel(mergeRagKnobs(ragDefaults, options.knobs ?? {}), mergeRagKnobs),
    stats: recordStats(),
    retriever: await indexDocuments(options.documents),
  };
  const server = await serveHttp(options.port, {
    request: (exchange) => route(rag, exchange),
    connectionOpened: rag.stats.connectionOpened,
    connectionClosed: rag.stats.connectionClosed,
  });
  return { url: `http://127.0.0.1:${server.port}/api/v1`, close: server.close };
}

interface Rag {
  readonly panel: KnobPanel<RagKnobs>;
  readonly stats: StatsRecorder;
  readonly retriever: Retriever;
}

function route(rag: Rag, exchange: Exchange): void {
  const path = exchange.path.replace(/^\/api\/v1(?=\/)/, '');
  if (answerControl(exchange, path, rag.panel, rag.stats)) return;
  if (exchange.method === 'POST' && path === '/query') answer(rag, exchange);
  else if (exchange.method === 'GET' && path === '/health') reply(exchange, 200, health());
  else reply(exchange, 404, problem(`There is no ${exchange.method} ${exchange.path}.`));
}

function answer(rag: Rag, exchange: Exchange): void {
  rag.stats.seen(exchange);
  const question = readQuestion(exchange.body);
  if (typeof question === 'string') {
    rag.stats.badRequest();
    reply(exchange, 400, problem(question));
    return;
  }
  const base = rag.panel.current;
  const scripted = rag.panel.nextOfScript();
  const knobs = scripted === undefined ? base : mergeRagKnobs(base, scripted);
  const call = rag.stats.open('rag', null);
  let timer: NodeJS.Timeout | undefined;
  exchange.onClosed(() => {
    clearTimeout(timer);
    call.clientClosed();
  });
  if (knobs.hang) return;
  const send = () => sendAnswer(rag, exchange, call, knobs, question);
  if (knobs.delayMs === 0) send();
  else timer = setTimeout(send, knobs.delayMs);
}

function sendAnswer(rag: Rag, exchange: Exchange, call: OpenCall, knobs: RagKnobs, question: Question): void {
  if (knobs.status !== null) {
    reply(exchange, knobs.status, problem(`The simulator answers ${knobs.status}.`));
    call.failed();
    return;
  }
  const body = bodyFor(rag, knobs, question);
  if (knobs.cut === null) {
    reply(exchange, 200, body);
    call.completed();
    return;
  }
  const bytes = Buffer.from(body);
  exchange.send(headOf(200, { 'content-type': 'application/json', 'content-length': String(bytes.length) }));
  exchange.send(bytes.subarray(0, bytes.length >> 1));
  call.failed();
  if (knobs.cut === 'rst') exchange.reset();
  else exchange.end();
}

function bodyFor(rag: Rag, knobs: RagKnobs, question: Question): string {
  if (knobs.malformed === 'not_json') return '<html><body>Bad gateway</body></html>';
  if (knobs.malformed === 'wrong_shape') return '{"results": ["text"], "context": 7, "sources": null}';
  const found = padded(
    knobs.context === null ? rag.retriever.search(question) : given(knobs.context),
    knobs.hugeBytes,
  );
  return JSON.stringify({ ...found, tokens_used: Math.ceil(found.context.length / 4) });
}

const givenId = 'art-given';

function given(context: string): Found {
  return { context, sources: [{ artifact_id: givenId, relevance_score: 1 }] };
}

const fillerId = 'art-filler';

/** The filler is a source of its own, the least relevant. */
function padded(found: Found, bytes: number | null): Found {
  const missing = (bytes ?? 0) - Buffer.byteLength(found.context);
  if (missing <= 0) return found;
  const line = 'These words are here only to make the context larger than anybody asked for.\n';
  const filler = line.repeat(Math.ceil(missing / line.length));
  const context = `${found.context}\n${sourceMark(fillerId)}\n${filler}`.slice(
    0,
    found.context.length + missing,
  );
  return { context, sources: [...found.sources, { artifact_id: fillerId, relevance_score: 0 }] };
}

const defaultMaxTokens = 2000;

/** @returns what is wrong, as a text, when it is no question. */
function readQuestion(body: Buffer): Question | string {
  const json = parsed(body);
  if (typeof json !== 'object' || json === null) return 'The body is not a JSON object.';
  const { query, project_id, max_tokens, search_mode } = json as Readonly<Record<string, unknown>>;
  if (typeof query !== 'string' || query.trim() === '') return "'query' must be a non-empty string.";
  const projectId = project_id ?? null;
  if (projectId !== null && typeof projectId !== 'string') return "'project_id' must be a string.";
  const maxTokens = max_tokens ?? defaultMaxTokens;
  if (typeof maxTokens !== 'number' || !Number.isSafeInteger(maxTokens) || maxTokens < 1) {
    return "'max_tokens' must be an integer of at least 1.";
  }
  if (search_mode !== undefined && search_mode !== 'hybrid') return "'search_mode' must be hybrid.";
  return { query, projectId, maxTokens };
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}

function problem(message: string): string {
  return JSON.stringify({ error: { message } });
}
