import { randomBytes } from 'node:crypto';
import { type Content, contentFor, tokensIn } from './content.js';
import type { KnobPanel } from './control.js';
import { errorBody } from './errors.js';
import type { GatewayKnobs, InvalidOutput } from './gateway-knobs.js';
import { chunkOf, type Exchange, headOf, lastChunk, reply } from './http.js';
import { mergeGatewayKnobs } from './merge-gateway-knobs.js';
import { jittered, play } from './play.js';
import { logNormal, randomOf } from './random.js';
import { type Complaint, type GenerationRequest, isComplaint } from './requests.js';
import type { OpenCall, StatsRecorder } from './stats.js';
import { closingSteps, idSlot, type Plan, streamPlan, wholePlan } from './steps.js';
import { wholeBody } from './whole-answer.js';

/** Where calls are answered: the knobs in force, the counts, and the answers already made. */
export interface CallDesk {
  readonly panel: KnobPanel<GatewayKnobs>;
  readonly stats: StatsRecorder;
  readonly prepared: CacheByKnobs<Prepared>;
  readonly knobsOfModel: CacheByKnobs<GatewayKnobs>;
  /** Makes ids differ between processes. */
  readonly process: string;
  calls: number;
}

/** Dropped with the knobs that it was made for. */
type CacheByKnobs<Value> = WeakMap<GatewayKnobs, Map<string, Value>>;

/** Sets up a desk at which no call has been made. */
export function openDesk(panel: KnobPanel<GatewayKnobs>, stats: StatsRecorder): CallDesk {
  return {
    panel,
    stats,
    prepared: new WeakMap(),
    knobsOfModel: new WeakMap(),
    process: randomBytes(4).toString('hex'),
    calls: 0,
  };
}

/** Answers one generation call as the knobs say. */
export function answerCall(desk: CallDesk, exchange: Exchange, read: GenerationRequest | Complaint): void {
  desk.stats.seen(exchange);
  if (isComplaint(read)) {
    desk.stats.badRequest();
    reply(exchange, 400, errorBody(400, read.message, read.param));
    return;
  }
  const number = desk.calls++;
  const knobs = knobsFor(desk, read.model);
  const call: Call = {
    exchange,
    knobs,
    request: read,
    open: desk.stats.open(read.model, read.task),
    id: desk.process + number.toString(16).padStart(8, '0'),
    started: performance.now(),
    random: randomOf(knobs.seed, number),
  };
  exchange.onClosed(call.open.clientClosed);
  if (knobs.hangBeforeHeaders) return;
  if (call.random() < (knobs.errorRate ?? (knobs.status === null ? 0 : 1))) answerError(call);
  else answerWell(stretched(call), prepare(desk, call));
}

/** Slower or faster as a whole. What was prepared stays that of the knobs as they were set. */
function stretched(call: Call): Call {
  const { knobs, random } = call;
  if (knobs.heavyTail === 0) return call;
  const factor = logNormal(random, knobs.heavyTail);
  const { ttftMs, tokensPerSecond } = knobs;
  return {
    ...call,
    knobs: { ...knobs, ttftMs: ttftMs * factor, tokensPerSecond: tokensPerSecond / factor },
  };
}

interface Call {
  readonly exchange: Exchange;
  readonly knobs: GatewayKnobs;
  readonly request: GenerationRequest;
  readonly open: OpenCall;
  readonly id: string;
  /** `performance.now()` */
  readonly started: number;
  readonly random: () => number;
}

/** What can be made once for all calls that are alike. */
interface Prepared {
  readonly content: Content;
  readonly head: string;
  /** Of a streamed answer. */
  readonly plan: Plan;
  /** The whole instant stream up to its closing, split where the id of the call stands. */
  readonly instant: readonly string[] | null;
}

/** The knobs of the next call: the base, over them those of its model, over them the next of the script. */
function knobsFor(desk: CallDesk, model: string): GatewayKnobs {
  const base = desk.panel.current;
  const scripted = desk.panel.nextOfScript();
  const ofModel = Object.hasOwn(base.perModel, model) ? base.perModel[model] : undefined;
  const knobs =
    ofModel === undefined
      ? base
      : remembered(desk.knobsOfModel, base, model, () => mergeGatewayKnobs(base, ofModel));
  return scripted === undefined ? knobs : mergeGatewayKnobs(knobs, scripted);
}

const answersKept = 256;

function remembered<Value>(
  cache: CacheByKnobs<Value>,
  knobs: GatewayKnobs,
  key: string,
  make: () => Value,
): Value {
  const entries = cache.get(knobs) ?? new Map<string, Value>();
  cache.set(knobs, entries);
  const known = entries.get(key);
  if (known !== undefined) return known;
  const made = make();
  if (entries.size >= answersKept) entries.clear();
  entries.set(key, made);
  return made;
}

function answerError({ exchange, knobs, open, random }: Call): void {
  const status = knobs.status ?? 500;
  const headers = {
    'content-type': contentType(knobs, 'application/json'),
    ...(knobs.retryAfterSeconds !== null && { 'retry-after': String(knobs.retryAfterSeconds) }),
    ...(knobs.closeConnection && { connection: 'close' }),
    ...knobs.headers,
  };
  later(exchange, open, jittered(knobs.ttftMs, { pace: knobs, random }), () => {
    reply(exchange, status, knobs.body ?? errorBody(status, `The simulator answers ${status}.`), headers);
    open.failed();
  });
}

/** Held by bench/simulators/throughput: an instant stream is one join and one write. */
function answerWell(call: Call, prepared: Prepared): void {
  const { exchange, knobs, request, open, id } = call;
  if (!request.stream) {
    answerWhole(call, prepared);
    return;
  }
  const facts = { id, latencyMs: performance.now() - call.started + expectedMs(knobs, prepared.content) };
  const closing = prepared.plan.closes ? closingSteps(knobs, request, prepared.content, facts) : [];
  if (prepared.instant !== null) {
    exchange.send(prepared.instant.join(id) + closing.map(({ text }) => chunkOf(text)).join('') + lastChunk);
    open.chunksSent = prepared.plan.deltas;
    open.completed();
    exchange.done({ close: knobs.closeConnection });
    return;
  }
  const steps = prepared.plan.steps.map((step) => ({ ...step, text: step.text.replace(idSlot, id) }));
  play(
    exchange,
    open,
    scoreOf(knobs, prepared, { ...prepared.plan, steps: [...steps, ...closing] }),
    { ...knobs, ttftMs: knobs.ttftMs * Math.max(1, open.openThen / (knobs.parallel ?? open.openThen)) },
    call.random,
  );
}

function answerWhole(
  { exchange, knobs, request, open, id, started, random }: Call,
  prepared: Prepared,
): void {
  const { content } = prepared;
  const waitMs = jittered(expectedMs(knobs, content), { pace: knobs, random });
  const facts = { id, latencyMs: performance.now() - started + waitMs };
  const body = wholeBody(knobs, request, content, facts);
  const plan = wholePlan(knobs, body, content);
  if (!plan.closes || knobs.slowLoris > 0 || knobs.splitBytes > 0) {
    const pace = { ...knobs, ttftMs: waitMs, jitter: 0, tokensPerSecond: 0 };
    play(exchange, open, scoreOf(knobs, prepared, plan), pace, random);
    return;
  }
  later(exchange, open, waitMs, () => {
    reply(exchange, 200, body, {
      'content-type': contentType(knobs, 'application/json'),
      ...(knobs.closeConnection && { connection: 'close' }),
      ...knobs.headers,
    });
    open.completed();
  });
}

function scoreOf(knobs: GatewayKnobs, { head }: Prepared, plan: Plan) {
  return { head, steps: plan.steps, ending: plan.ending, closesConnection: knobs.closeConnection };
}

function later(exchange: Exchange, open: OpenCall, ms: number, then: () => void): void {
  if (ms === 0) {
    then();
    return;
  }
  const timer = setTimeout(then, ms);
  exchange.onClosed(() => {
    clearTimeout(timer);
    open.clientClosed();
  });
}

function prepare(desk: CallDesk, { knobs, request, random }: Call): Prepared {
  const invalid = chooseInvalid(knobs, random);
  const { protocol, stream, model, domain, maxTokens, stop, schema } = request;
  const key = JSON.stringify([protocol, stream, model, domain, maxTokens, stop, schema, invalid]);
  return remembered(desk.prepared, knobs, key, () => makePrepared(knobs, request, invalid));
}

function chooseInvalid(knobs: GatewayKnobs, random: () => number): InvalidOutput | null {
  const rate = knobs.invalidOutputRate ?? (knobs.invalidOutput === null ? 0 : 1);
  return rate > 0 && random() < rate ? (knobs.invalidOutput ?? 'not_json') : null;
}

function makePrepared(
  knobs: GatewayKnobs,
  request: GenerationRequest,
  invalid: InvalidOutput | null,
): Prepared {
  const content = contentFor(knobs, request, invalid);
  const head = headOf(200, {
    'content-type': contentType(knobs, request.stream ? 'text/event-stream' : 'application/json'),
    ...(request.stream && { 'cache-control': 'no-cache' }),
    'transfer-encoding': 'chunked',
    ...(knobs.closeConnection && { connection: 'close' }),
    ...knobs.headers,
  });
  const plan = streamPlan(knobs, request, content);
  const chunks = plan.steps.map(({ text }) => chunkOf(text)).join('');
  const isInstant = plan.closes && isUnpaced(knobs);
  return { content, head, plan, instant: isInstant ? (head + chunks).split(idSlot) : null };
}

function isUnpaced(knobs: GatewayKnobs): boolean {
  return knobs.ttftMs === 0 && knobs.tokensPerSecond === 0 && knobs.slowLoris === 0 && knobs.splitBytes === 0;
}

function contentType(knobs: GatewayKnobs, proper: string): string {
  return knobs.wrongContentType ? 'text/html' : proper;
}

/** Milliseconds from the request to the last byte of the answer, without jitter. */
function expectedMs(knobs: GatewayKnobs, { text, refusal }: Content): number {
  const tokens = tokensIn(text.length) + tokensIn(refusal?.length ?? 0) + knobs.reasoningTokens;
  return knobs.ttftMs + (knobs.tokensPerSecond === 0 ? 0 : (tokens / knobs.tokensPerSecond) * 1000);
}
