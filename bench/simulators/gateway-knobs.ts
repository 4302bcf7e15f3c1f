import type { KnobsInput } from './knob-checks.js';

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
export type GatewayKnobsInput = KnobsInput<Omit<GatewayKnobs, 'perModel' | 'script'>> & {
  readonly perModel?: Readonly<Record<string, GatewayKnobsInput>> | null;
  readonly script?: readonly GatewayKnobsInput[] | null;
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
