/**
 * How the model gateway simulator behaves. Every knob is set by the command line (`--knobs`), by
 * `startSimulators`, or while it runs by `PUT /_simulator/knobs`. `null` is "off".
 */
export interface GatewayKnobs {
  /** Seed of everything random. Calls with the same number since the start draw the same. @default 1 */
  readonly seed: number;
  /** Milliseconds before the first byte of an answer, errors included. @default 0 */
  readonly ttftMs: number;
  /** Streams that it works on at once; with more, `ttftMs` grows in proportion to all that are open. @default null */
  readonly parallel: number | null;
  /** Tokens (of about 4 characters) per second; 0 is instant. @default 0 */
  readonly tokensPerSecond: number;
  /** Each delay is multiplied by a random factor in [1 - jitter, 1 + jitter]; 0 to 1. @default 0 */
  readonly jitter: number;
  /**
   * Each answer is slower or faster as a whole, by a log-normal factor with median 1 whose logarithm has this standard
   * deviation; 0 to 3, 0 is off. At 1, one answer in a hundred takes ten times the median. @default 0
   */
  readonly heavyTail: number;
  /** Tokens in one delta. @default 4 */
  readonly chunkTokens: number;
  /** Exact number of content deltas, whatever the text; wins over chunkTokens. @default null */
  readonly chunks: number | null;

  /** The text to answer with, or one per domain: `{"code-general": "text"}`. @default null */
  readonly output: string | Readonly<Record<string, string>> | null;
  /** Pads the answer's `content` until the whole text has about this many bytes; never shortens. @default null */
  readonly outputBytes: number | null;
  /** One delta with a text of this many bytes. @default null */
  readonly hugeDeltaBytes: number | null;
  /** Text with which the model refuses, in place of the content. @default null */
  readonly refusal: string | null;
  /** Where the refusal stands: in `delta.refusal`, in the content, or in both. @default "openai" */
  readonly refusalKind: 'openai' | 'content' | 'both';
  /** Makes the output invalid in this way. With `invalidOutputRate` alone: `not_json`. @default null */
  readonly invalidOutput: InvalidOutput | null;
  /** Share of answers that are invalid, 0 to 1; `null` is all of them when `invalidOutput` is set. @default null */
  readonly invalidOutputRate: number | null;
  /** Reported instead of `stop` or `length`. @default null */
  readonly finishReason: string | null;

  /** HTTP status of an error answer in place of a completion, 400 to 599. @default null */
  readonly status: number | null;
  /** Share of calls that fail with `status` (500 if unset), 0 to 1; `null` is all when `status` is set. @default null */
  readonly errorRate: number | null;
  /** `Retry-After` of the error answer, in seconds. @default null */
  readonly retryAfterSeconds: number | null;
  /** Body of the error answer, in place of the OpenAI error object. @default null */
  readonly body: string | null;

  /** Never answers; the connection stays open. @default false */
  readonly hangBeforeHeaders: boolean;
  /** Hangs for ever after this many content deltas. @default null */
  readonly stallAfterChunks: number | null;
  /** Ends the answer too early, after this many content deltas. @default null */
  readonly cutAfterChunks: number | null;
  /**
   * How it is cut: `rst`; `fin` inside the chunked body; `clean_end`, a proper end of the body without
   * finish_reason, usage and [DONE]; `broken_chunk`, a chunk size that is no number, then FIN. @default "rst"
   */
  readonly cutKind: CutKind;
  /** An error object in the 200 stream after this many content deltas, then [DONE]. @default null */
  readonly errorInStreamAfterChunks: number | null;
  /** The data of that event, in place of the OpenAI error object. @default null */
  readonly errorInStream: string | null;

  /** Milliseconds between the single bytes of the body; 0 is off. Pacing by tokens does not apply. @default 0 */
  readonly slowLoris: number;
  /** Sends the body in pieces of this many bytes, so that lines and UTF-8 are split; 0 is off. @default 0 */
  readonly splitBytes: number;
  /** Pieces of random size, 1 to `splitBytes`. @default false */
  readonly splitRandom: boolean;
  /** Lines of the event stream end in CR LF. @default false */
  readonly crlf: boolean;
  /** A `: keep-alive` comment before every event. @default false */
  readonly comments: boolean;
  /** No usage is reported. @default false */
  readonly omitUsage: boolean;
  /** The reported output tokens are multiplied by this. @default 1 */
  readonly usageSkew: number;
  /** No `data: [DONE]`. @default false */
  readonly omitDone: boolean;
  /** The event with the finish_reason is left out (null in a whole answer). @default false */
  readonly omitFinishReason: boolean;
  /** Tokens of reasoning (`reasoning_content` and `reasoning`) before the content. @default 0 */
  readonly reasoningTokens: number;
  /**
   * Where the reasoning stands: in fields of its own, in the content as `<think>…</think>`, or there without the tag
   * that opens it, as of a model whose prompt has it. @default "fields"
   */
  readonly reasoningIn: 'fields' | 'think' | 'unopened';
  /** Empty deltas after each content delta: in turn `{}`, `content: ""`, `content: null`. @default 0 */
  readonly emptyDeltas: number;
  /** Deltas with `tool_calls` before the content. @default 0 */
  readonly toolCallDeltas: number;
  /** Unknown fields in every object of the answer. @default false */
  readonly extraFields: boolean;
  /** `Connection: close`, and FIN after the answer. @default false */
  readonly closeConnection: boolean;
  /** The answer says `Content-Type: text/html`. @default false */
  readonly wrongContentType: boolean;
  /** Headers of every answer, errors included, over those that it has. @default {} */
  readonly headers: Readonly<Record<string, string>>;

  /** Knobs by model name, over the ones above. @default {} */
  readonly perModel: Readonly<Record<string, GatewayKnobsInput>>;
  /** Knobs for the next calls, one entry a call, over all others; then none. @default [] */
  readonly script: readonly GatewayKnobsInput[];
}

export type CutKind = 'rst' | 'fin' | 'clean_end' | 'broken_chunk';
export type InvalidOutput =
  | 'not_json'
  | 'wrong_shape'
  | 'trailing_comma'
  | 'chatter_around'
  | 'fenced'
  | 'empty'
  | 'truncated_json';

/** What a caller may set; a knob that is `null` goes back to its default. */
export type GatewayKnobsInput = Input<Omit<GatewayKnobs, 'perModel' | 'script'>> & {
  readonly perModel?: Readonly<Record<string, GatewayKnobsInput>> | null;
  readonly script?: readonly GatewayKnobsInput[] | null;
};

/** How the retriever behaves; set in the same ways. */
export interface RagKnobs {
  /** Milliseconds before the answer. @default 0 */
  readonly delayMs: number;
  /** HTTP status of an error answer, 400 to 599. @default null */
  readonly status: number | null;
  /** Never answers. @default false */
  readonly hang: boolean;
  /** Cuts the answer in the middle of its body. @default null */
  readonly cut: 'rst' | 'fin' | null;
  /** A 200 answer whose body is not JSON, or JSON of another shape. @default null */
  readonly malformed: 'not_json' | 'wrong_shape' | null;
  /** Pads the context to this many bytes, whatever `max_tokens` says. @default null */
  readonly hugeBytes: number | null;
  /** The context to answer with, in place of a search. @default null */
  readonly context: string | null;
  /** Knobs for the next calls, one entry a call; then none. @default [] */
  readonly script: readonly RagKnobsInput[];
}

export type RagKnobsInput = Input<Omit<RagKnobs, 'script'>> & {
  readonly script?: readonly RagKnobsInput[] | null;
};

export const gatewayDefaults: GatewayKnobs = {
  seed: 1,
  ttftMs: 0,
  parallel: null,
  tokensPerSecond: 0,
  jitter: 0,
  heavyTail: 0,
  chunkTokens: 4,
  chunks: null,
  output: null,
  outputBytes: null,
  hugeDeltaBytes: null,
  refusal: null,
  refusalKind: 'openai',
  invalidOutput: null,
  invalidOutputRate: null,
  finishReason: null,
  status: null,
  errorRate: null,
  retryAfterSeconds: null,
  body: null,
  hangBeforeHeaders: false,
  stallAfterChunks: null,
  cutAfterChunks: null,
  cutKind: 'rst',
  errorInStreamAfterChunks: null,
  errorInStream: null,
  slowLoris: 0,
  splitBytes: 0,
  splitRandom: false,
  crlf: false,
  comments: false,
  omitUsage: false,
  usageSkew: 1,
  omitDone: false,
  omitFinishReason: false,
  reasoningTokens: 0,
  reasoningIn: 'fields',
  emptyDeltas: 0,
  toolCallDeltas: 0,
  extraFields: false,
  closeConnection: false,
  wrongContentType: false,
  headers: {},
  perModel: {},
  script: [],
};

export const ragDefaults: RagKnobs = {
  delayMs: 0,
  status: null,
  hang: false,
  cut: null,
  malformed: null,
  hugeBytes: null,
  context: null,
  script: [],
};

/**
 * Lays `input` over `base`.
 * @throws {KnobError} when a knob is unknown or its value is not allowed; `base` is then unchanged.
 */
export function mergeGatewayKnobs(base: GatewayKnobs, input: unknown): GatewayKnobs {
  return merge(base, gatewayDefaults, gatewayChecks, input, '');
}

/**
 * Lays `input` over `base`.
 * @throws {KnobError} when a knob is unknown or its value is not allowed; `base` is then unchanged.
 */
export function mergeRagKnobs(base: RagKnobs, input: unknown): RagKnobs {
  return merge(base, ragDefaults, ragChecks, input, '');
}

/** A knob that does not exist or cannot have this value; the message names it. */
export class KnobError extends Error {
  override readonly name = 'KnobError';
}

type Input<Knobs> = { readonly [Name in keyof Knobs]?: Knobs[Name] | null };
/** Returns what was expected when the value is not allowed. */
type Check = (value: unknown, path: string) => string | undefined;
type Checks<Knobs> = Readonly<Record<keyof Knobs, Check>>;

function merge<Knobs extends object>(
  base: Knobs,
  defaults: Knobs,
  checks: Checks<Knobs>,
  input: unknown,
  path: string,
): Knobs {
  if (!isRecord(input)) throw new KnobError(`${path || 'knobs'}: expected an object of knobs`);
  const merged = { ...base } as Record<string, unknown>;
  for (const [name, value] of Object.entries(input)) {
    if (!isKnob(checks, name)) throw new KnobError(`${path}${name}: unknown knob`);
    if (value === undefined) continue;
    const expected = value === null ? undefined : checks[name](value, `${path}${name}`);
    if (expected !== undefined) {
      throw new KnobError(`${path}${name}: expected ${expected}, got ${JSON.stringify(value).slice(0, 80)}`);
    }
    merged[name] = value ?? defaults[name];
  }
  return merged as Knobs;
}

function isKnob<Knobs extends object>(checks: Checks<Knobs>, name: string): name is keyof Knobs & string {
  return Object.hasOwn(checks, name);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const number =
  (min: number, max = Number.MAX_SAFE_INTEGER): Check =>
  (value) =>
    typeof value === 'number' && value >= min && value <= max ? undefined : `a number ${range(min, max)}`;

const integer =
  (min: number, max = Number.MAX_SAFE_INTEGER): Check =>
  (value) =>
    Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max
      ? undefined
      : `an integer ${range(min, max)}`;

const range = (min: number, max: number) =>
  max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;

const flag: Check = (value) => (typeof value === 'boolean' ? undefined : 'true or false');
const text: Check = (value) => (typeof value === 'string' ? undefined : 'a string');

const oneOf =
  (...allowed: readonly string[]): Check =>
  (value) =>
    typeof value === 'string' && allowed.includes(value) ? undefined : `one of ${allowed.join(', ')}`;

const textOrTextByDomain: Check = (value) =>
  typeof value === 'string' ||
  (isRecord(value) && Object.values(value).every((entry) => typeof entry === 'string'))
    ? undefined
    : 'a string, or an object of strings by domain';

const headerFields: Check = (value) =>
  isRecord(value) && Object.entries(value).every(([name, field]) => isHeader(name, field))
    ? undefined
    : 'an object of headers, with names in lower case';

function isHeader(name: string, field: unknown): boolean {
  return /^[a-z0-9-]+$/.test(name) && typeof field === 'string' && /^[\x20-\x7e]*$/.test(field);
}

/** Entries nest one level only: a script inside a script means nothing. */
const plainKnobs =
  <Knobs extends object>(defaults: Knobs, checks: () => Checks<Knobs>, refused: readonly string[]): Check =>
  (value, path) => {
    for (const name of refused) {
      if (isRecord(value) && Object.hasOwn(value, name))
        throw new KnobError(`${path}.${name}: may not be nested`);
    }
    merge(defaults, defaults, checks(), value, `${path}.`);
    return undefined;
  };

const listOf =
  (check: Check): Check =>
  (value, path) =>
    Array.isArray(value)
      ? value
          .map((entry, index) => check(entry, `${path}[${index}]`))
          .find((complaint) => complaint !== undefined)
      : 'a list of knob objects';

const mapOf =
  (check: Check): Check =>
  (value, path) =>
    isRecord(value)
      ? Object.entries(value)
          .map(([key, entry]) => check(entry, `${path}.${key}`))
          .find((complaint) => complaint !== undefined)
      : 'an object of knob objects';

const maxBytes = 256 * 1024 * 1024;
const maxDelayMs = 2 ** 31 - 1;
const nestedGatewayKnobs = plainKnobs(gatewayDefaults, () => gatewayChecks, ['script', 'perModel']);
const nestedRagKnobs = plainKnobs(ragDefaults, () => ragChecks, ['script']);

const gatewayChecks: Checks<GatewayKnobs> = {
  seed: integer(0),
  ttftMs: number(0, maxDelayMs),
  tokensPerSecond: number(0),
  jitter: number(0, 1),
  heavyTail: number(0, 3),
  chunkTokens: number(0.25),
  chunks: integer(1, 1_000_000),
  output: textOrTextByDomain,
  outputBytes: integer(0, maxBytes),
  hugeDeltaBytes: integer(1, maxBytes),
  refusal: text,
  refusalKind: oneOf('openai', 'content', 'both'),
  invalidOutput: oneOf(
    'not_json',
    'wrong_shape',
    'trailing_comma',
    'chatter_around',
    'fenced',
    'empty',
    'truncated_json',
  ),
  invalidOutputRate: number(0, 1),
  finishReason: text,
  status: integer(400, 599),
  errorRate: number(0, 1),
  retryAfterSeconds: number(0),
  body: text,
  hangBeforeHeaders: flag,
  parallel: integer(1),
  stallAfterChunks: integer(0),
  cutAfterChunks: integer(0),
  cutKind: oneOf('rst', 'fin', 'clean_end', 'broken_chunk'),
  errorInStreamAfterChunks: integer(0),
  errorInStream: text,
  slowLoris: number(0, maxDelayMs),
  splitBytes: integer(0),
  splitRandom: flag,
  crlf: flag,
  comments: flag,
  omitUsage: flag,
  usageSkew: number(0),
  omitDone: flag,
  omitFinishReason: flag,
  reasoningTokens: integer(0, 1_000_000),
  reasoningIn: oneOf('fields', 'think', 'unopened'),
  emptyDeltas: integer(0, 1000),
  toolCallDeltas: integer(0, 1000),
  extraFields: flag,
  closeConnection: flag,
  wrongContentType: flag,
  headers: headerFields,
  perModel: mapOf(nestedGatewayKnobs),
  script: listOf(nestedGatewayKnobs),
};

const ragChecks: Checks<RagKnobs> = {
  delayMs: number(0, maxDelayMs),
  status: integer(400, 599),
  hang: flag,
  cut: oneOf('rst', 'fin'),
  malformed: oneOf('not_json', 'wrong_shape'),
  hugeBytes: integer(0, maxBytes),
  context: text,
  script: listOf(nestedRagKnobs),
};
