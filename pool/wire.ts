import { StringDecoder } from 'node:string_decoder';
import { createParser } from 'eventsource-parser';
import { excerpt } from '../contracts/excerpt.js';
import { type GatewayError, isBusy, readError } from '../contracts/gateway-errors.js';
import { asObject } from '../contracts/objects.js';
import type { Protocol, Usage } from '../contracts/threads.js';
import { Envelope } from './envelope.js';

/** What one message of the gateway says. */
export interface Delta {
  content?: string;
  reasoning?: string;
  refusal?: string;
  finishReason?: string;
  usage?: Usage;
  model?: string;
  error?: StreamError;
}

export interface StreamError {
  readonly detail: string;
  readonly retryable: boolean;
  /** The model is busy or away. */
  readonly busy?: boolean;
  readonly about?: GatewayError['about'];
}

export interface Wire {
  /** Takes bytes of the body, cut anywhere. */
  push(chunk: Uint8Array): void;
  /** The body has come to its end. */
  end(): void;
  /** True once the stream has said itself that it is over (`[DONE]`, or a whole document). */
  readonly done: boolean;
  /** How many of the bytes pushed so far belong to a message that is not complete. */
  readonly unread: number;
  /** Why the body cannot be understood. */
  readonly fault: string | undefined;
}

/**
 * Reads a gateway's answer: OpenAI chat completions or the sister gateway's `generate`, as server-sent events
 * (WHATWG HTML, 9.2) or as one JSON document.
 */
export function openWire(protocol: Protocol, onDelta: (delta: Delta) => void): Wire {
  return protocol === 'generate'
    ? new EitherForm(generateReader(), ({ content }) => content !== undefined, onDelta)
    : new EitherForm(chatReader(), ({ choices }) => Array.isArray(choices) && choices.length > 0, onDelta);
}

type Message = Record<string, unknown>;
type Read = (message: Message) => Delta;

/**
 * Tells the forms apart by the first character, because servers leave the content type out or give a wrong one: no
 * event begins with a brace, and what is blank before an answer has no meaning in either form.
 */
class EitherForm implements Wire {
  #wire: Wire | undefined;
  #isHtml = false;

  constructor(
    readonly read: Read,
    readonly isAnswer: (message: Message) => boolean,
    readonly onDelta: (delta: Delta) => void,
  ) {}

  get done(): boolean {
    return this.#wire?.done ?? false;
  }

  get unread(): number {
    return this.#wire?.unread ?? 0;
  }

  get fault(): string | undefined {
    return this.#isHtml ? 'the body is HTML' : this.#wire?.fault;
  }

  push(chunk: Uint8Array): void {
    if (this.#wire !== undefined) {
      this.#wire.push(chunk);
      return;
    }
    const at = chunk.findIndex((byte) => !BLANK.has(byte));
    if (at < 0) return;
    this.#isHtml = chunk[at] === LESS_THAN;
    this.#wire =
      chunk[at] === OPEN_BRACE
        ? new JsonDocument(this.read, this.isAnswer, this.onDelta)
        : new EventStream(this.read, this.onDelta);
    this.#wire.push(chunk.subarray(at));
  }

  end(): void {
    this.#wire?.end();
  }
}

const OPEN_BRACE = 0x7b;
const LESS_THAN = 0x3c;
// White space, and the bytes of a byte order mark.
const BLANK = new Set([0x20, 0x09, 0x0a, 0x0d, 0xef, 0xbb, 0xbf]);

class EventStream implements Wire {
  done = false;
  fault: string | undefined;
  unread = 0;
  // Several times faster than a TextDecoder with `stream`; both replace what is malformed.
  readonly #decoder = new StringDecoder('utf8');
  readonly #envelope: Envelope<Delta>;
  readonly #read: Read;
  readonly #onDelta: (delta: Delta) => void;
  #tail: Uint8Array = Buffer.alloc(0);
  #afterCr = false;
  #ending = false;
  /** Nothing of an event has been read that is not complete. */
  #between = true;
  readonly #parser;

  constructor(read: Read, onDelta: (delta: Delta) => void) {
    this.#read = read;
    this.#onDelta = onDelta;
    this.#envelope = new Envelope((data) => {
      const message = parseObject(data);
      return message && read(message);
    });
    this.#parser = createParser({
      onEvent: ({ data, event }) => {
        if (this.#isOver()) return;
        const message = parseObject(data);
        if (message !== undefined) this.#take(message, data, event);
        else for (const line of linesOf(data)) this.#takeLine(line, event);
      },
    });
  }

  #take(message: Message, data: string, event: string | undefined): void {
    const isError = event === 'error' && message.error === undefined;
    const delta = this.#read(isError ? { error: message } : message);
    if (event === undefined) this.#envelope.learn(data, delta);
    this.#onDelta(delta);
  }

  /** Of data that is not one JSON object: the end, or messages between which a server has left out the blank lines. */
  #takeLine(line: string, event: string | undefined): void {
    if (this.#isOver()) return;
    if (DONE.test(line)) {
      this.done = true;
      return;
    }
    const message = parseObject(line);
    if (message !== undefined) this.#take(message, line, event);
    else if (event === 'error') this.#onDelta({ error: streamError(line) });
    // An event that the end of the body cut is a broken stream, and not what the gateway meant to say.
    else if (!isHeartbeat(event, line) && !this.#ending)
      this.fault = 'an event of the stream is not a JSON object';
  }

  push(chunk: Uint8Array): void {
    this.unread = unreadAfter(this.#tail, this.unread, chunk);
    this.#tail = Buffer.concat([this.#tail, chunk.subarray(-BORDER)]).subarray(-BORDER);
    this.#feed(this.#withLineFeeds(this.#decoder.write(chunk)));
  }

  end(): void {
    // Some servers leave out the last blank line.
    this.#ending = true;
    this.#parser.feed(`${this.#withLineFeeds(this.#decoder.end())}\n\n`);
  }

  /** Event by event, so that those which are alike pass the parser by (bench: execute). */
  #feed(text: string): void {
    for (let at = 0; at < text.length && !this.#isOver(); ) {
      if (this.#between) {
        const { delta, end } = this.#envelope.open(text, at);
        if (delta !== undefined) this.#onDelta(delta);
        at = end;
      }
      const blank = this.#envelope.hopeful ? text.indexOf('\n\n', at) : -1;
      const end = blank < 0 ? text.length : blank + 2;
      if (end > at) this.#parser.feed(text.slice(at, end));
      this.#between = blank >= 0;
      at = end;
    }
  }

  /** The parser looks for both kinds of line ends to the end of its text with each line that has another one. */
  #withLineFeeds(text: string): string {
    const lines = this.#afterCr && text.startsWith('\n') ? text.slice(1) : text;
    if (text !== '') this.#afterCr = text.endsWith('\r');
    return lines.includes('\r') ? lines.replace(/\r\n?/g, '\n') : lines;
  }

  #isOver(): boolean {
    return this.done || this.fault !== undefined;
  }
}

/** The lines of data that was no message, without a `data:` of their own: some servers frame what is framed already. */
function linesOf(data: string): string[] {
  if (!data.includes('\n') && !data.startsWith('data:')) return [data.trim()];
  const lines = data.split('\n').map((line) => line.replace(/^\s*(?:data:\s*)*/, '').trim());
  return lines.filter((line) => line !== '');
}

const DONE = /^"?\[?DONE\]?"?$/i;

/** Some servers keep a connection open with events that say nothing, in place of comments. */
function isHeartbeat(event: string | undefined, data: string): boolean {
  return data === '' || (event !== undefined && event !== 'message' && event !== 'error');
}

/** How many bytes of a stream belong to an event that is not complete. `tail`: the last ones before the chunk. */
function unreadAfter(tail: Uint8Array, unread: number, chunk: Uint8Array): number {
  const blank = lastBlankLine(chunk);
  if (blank >= 0) return chunk.length - blank;
  // A blank line may be cut in two.
  const border = Buffer.concat([tail, chunk.subarray(0, BORDER)]);
  const cut = lastBlankLine(border);
  return cut < 0 ? unread + chunk.length : chunk.length + tail.length - cut;
}

/** The bytes of a blank line, but for one. */
const BORDER = 3;

/** Where the bytes after the last blank line begin, or -1. */
function lastBlankLine(chunk: Uint8Array): number {
  for (let at = chunk.length - 1; at > 0; at--) {
    if (!isLineEnd(chunk[at])) continue;
    const isCrLf = chunk[at] === LF && chunk[at - 1] === CR;
    if (isLineEnd(chunk[isCrLf ? at - 2 : at - 1])) return at + 1;
  }
  return -1;
}

function isLineEnd(byte: number | undefined): boolean {
  return byte === LF || byte === CR;
}

const LF = 0x0a;
const CR = 0x0d;

class JsonDocument implements Wire {
  done = false;
  fault: string | undefined;
  unread = 0;
  readonly #parts: Uint8Array[] = [];

  constructor(
    readonly read: Read,
    readonly isAnswer: (message: Message) => boolean,
    readonly onDelta: (delta: Delta) => void,
  ) {}

  push(chunk: Uint8Array): void {
    this.#parts.push(chunk);
    this.unread += chunk.length;
  }

  end(): void {
    const message = parseObject(new TextDecoder().decode(Buffer.concat(this.#parts)));
    if (message === undefined) {
      this.fault = 'the body is not a JSON object';
      return;
    }
    const delta = this.read(message);
    if (delta.error === undefined && !this.isAnswer(message)) {
      const { message: said } = readError(message);
      this.fault = `the body is not an answer of this protocol${said === '' ? '' : `: ${said}`}`;
      return;
    }
    this.done = delta.error === undefined;
    this.onDelta(delta);
  }
}

/** A stream may end in a message with the whole answer; its content is then what the deltas have brought. */
function chatReader(): Read {
  let streamed = false;
  return (message) => {
    const choices = Array.isArray(message.choices) ? message.choices : [];
    const choice = asObject(choices.find((c) => Number(asObject(c)?.index ?? 0) === 0));
    const error = errorIn(message) ?? errorOfChoice(choice?.error) ?? brokenOff(choice?.finish_reason);
    if (error !== undefined) return { error };
    const delta: Delta = {};
    const part = asObject(choice?.delta);
    if (part !== undefined) {
      readMessage(part, delta);
      streamed ||= delta.content !== undefined;
    }
    const whole = asObject(choice?.message);
    if (whole !== undefined && part?.content === undefined && !streamed) readMessage(whole, delta);
    const finishReason = finishReasonOf(choice?.finish_reason);
    if (finishReason !== undefined) delta.finishReason = finishReason;
    if (typeof message.model === 'string') delta.model = excerpt(message.model, NAME_CHARACTERS);
    // Moonshot says it in the choice, Groq in a field of its own.
    const usage =
      asObject(message.usage) ?? asObject(choice?.usage) ?? asObject(asObject(message.x_groq)?.usage);
    const prompt = tokenCount(usage?.prompt_tokens ?? usage?.input_tokens);
    const completion = tokenCount(usage?.completion_tokens ?? usage?.output_tokens);
    if (prompt !== undefined && completion !== undefined) delta.usage = { prompt, completion };
    return delta;
  };
}

function readMessage(part: Message, delta: Delta): void {
  const content = textOf(part.content);
  if (content !== '') delta.content = content;
  const reasoning =
    textOf(part.reasoning_content) ||
    textOf(part.reasoning) ||
    textOf(part.thinking) ||
    thoughtsIn(part.content);
  if (reasoning !== '') delta.reasoning = reasoning;
  if (typeof part.refusal === 'string' && part.refusal !== '') delta.refusal = part.refusal;
}

/** A stream may end in the object of a whole answer; its content is then what the deltas have brought. */
function generateReader(): Read {
  let streamed = false;
  return (message) => {
    const piece = textOf(message.delta);
    streamed ||= piece !== '';
    return readGenerate(message, piece || (streamed ? '' : textOf(message.content)));
  };
}

function readGenerate(message: Record<string, unknown>, content: string): Delta {
  const delta: Delta = {};
  const error = errorIn(message) ?? brokenOff(message.finish_reason);
  if (error !== undefined) return { error };
  if (content !== '') delta.content = content;
  const reasoning = textOf(message.reasoning_content) || textOf(message.reasoning);
  if (reasoning !== '') delta.reasoning = reasoning;
  const finishReason = finishReasonOf(message.finish_reason);
  if (finishReason !== undefined) delta.finishReason = finishReason;
  if (typeof message.model === 'string') delta.model = excerpt(message.model, NAME_CHARACTERS);
  const prompt = tokenCount(message.tokens_input);
  const completion = tokenCount(message.tokens_output);
  if (prompt !== undefined && completion !== undefined) delta.usage = { prompt, completion };
  return delta;
}

// Names of models and reasons stand in outcomes and metrics.
const NAME_CHARACTERS = 256;

/** Content is a text, or (some servers) a part with a text, or a list of such. Thoughts are no content. */
function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map((part) => (isThought(part) ? '' : textOf(part))).join('');
  const text = asObject(value)?.text;
  return typeof text === 'string' ? text : '';
}

/** Of Mistral: `{type: "thinking", thinking: [{type: "text", text}]}` among the parts. */
function thoughtsIn(content: unknown): string {
  if (!Array.isArray(content)) return '';
  return content
    .filter(isThought)
    .map((part) => textOf(part.thinking) || textOf(part.reasoning) || textOf(part))
    .join('');
}

function isThought(part: unknown): part is Record<string, unknown> {
  const type = asObject(part)?.type;
  return type === 'thinking' || type === 'reasoning';
}

/** The reason in OpenAI's words; gateways hand on those of other providers. */
function finishReasonOf(value: unknown): string | undefined {
  if (typeof value !== 'string' || value === '' || NO_REASON.test(value)) return undefined;
  return otherFinishReasons.get(value.toLowerCase()) ?? excerpt(value, NAME_CHARACTERS);
}

// DashScope writes null so.
const NO_REASON = /^(?:null|none)$/i;

const otherFinishReasons = new Map([
  ['max_tokens', 'length'],
  ['max_output_tokens', 'length'],
  ['model_length', 'length'],
  ['max_new_tokens', 'length'],
  ['model_context_window_exceeded', 'length'],
  ['end_turn', 'stop'],
  ['eos', 'stop'],
  ['eos_token', 'stop'],
  ['complete', 'stop'],
  ['completed', 'stop'],
  ['stop_sequence', 'stop'],
  ['refusal', 'content_filter'],
  ['safety', 'content_filter'],
  ['recitation', 'content_filter'],
  ['blocklist', 'content_filter'],
  ['prohibited_content', 'content_filter'],
  ['sensitive', 'content_filter'],
  ['spii', 'content_filter'],
  ['content_filtered', 'content_filter'],
  ['guardrail_intervened', 'content_filter'],
]);

/** Some servers say by the finish reason alone that they could not go on: what they have sent is a part. */
function brokenOff(finishReason: unknown): Delta['error'] {
  if (typeof finishReason !== 'string' || !brokenReasons.has(finishReason.toLowerCase())) return undefined;
  return { detail: `it ended with the finish reason ${finishReason}`, retryable: true };
}

// OpenRouter, Mistral; vLLM, SGLang; DeepSeek; Zhipu.
const brokenReasons = new Set([
  'error',
  'abort',
  'aborted',
  'cancelled',
  'insufficient_system_resource',
  'network_error',
]);

function errorIn(message: Message): StreamError | undefined {
  // vLLM before 0.10, Mistral: the message is the error.
  return errorOf(message.object === 'error' ? message : message.error);
}

/** An answer was under way that has one: it is a stream that broke. */
function errorOfChoice(value: unknown): StreamError | undefined {
  const error = errorOf(value);
  return error && { ...error, busy: false };
}

function errorOf(value: unknown): StreamError | undefined {
  if (value === undefined || value === null || value === false || value === '') return undefined;
  return streamError(value);
}

function streamError(value: unknown): StreamError {
  const { message, status, isOfCaller, about } = readError(value);
  return {
    detail: message || excerpt(written(value), 500),
    retryable: !isOfCaller,
    ...(status !== undefined && isBusy(status) && { busy: true }),
    ...(about !== undefined && { about }),
  };
}

function written(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return 'it cannot be written, because it is nested too deep';
  }
}

function tokenCount(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    return asObject(JSON.parse(text));
  } catch {
    return undefined;
  }
}
