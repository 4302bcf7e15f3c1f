import type { MessagePort } from 'node:worker_threads';
import type { Recommendation, RefusalReason } from './failures.js';
import type { GatewayError } from './gateway-errors.js';
import type { ContextSource, Note } from './outcome.js';
import type { TaskBody } from './task.js';
import type { Violation } from './validator.js';

/** What the event loop and the threads tell each other. Plain data: it crosses by structured clone. */

export type Protocol = 'chat_completions' | 'generate';
export type ResponseFormat = 'none' | 'json_object' | 'json_schema';
export type TokenizerName = 'o200k_harmony' | 'gemma3' | 'qwen3' | 'claude';

/** A text that may be large: then UTF-8 in memory that crosses between threads without a copy. */
export type LargeText = string | SharedArrayBuffer;

/** A prompt template, split into its two messages before anything is rendered. */
export interface Template {
  readonly name: string;
  readonly sha256: string;
  /** `{system, user}` as JSON in UTF-8, in memory that crosses to a thread without a copy. */
  readonly parts: SharedArrayBuffer;
}

/** The model a prompt is made for. All sizes in tokens. */
export interface ModelTarget {
  readonly model: string;
  readonly tokenizer: TokenizerName;
  /** Whether the tokenizer is the model's own. */
  readonly exactCounts: boolean;
  readonly contextWindow: number;
  readonly maxOutputTokens: number;
  readonly temperature: number;
  readonly protocol: Protocol;
  /** Whether the answer is asked for as a stream. */
  readonly stream: boolean;
  readonly responseFormat: ResponseFormat;
  readonly maxTokensField: 'max_tokens' | 'max_completion_tokens';
}

/** Context as the RAG service returned it; the text is empty where it was blank. */
export interface RetrievedContext {
  readonly text: LargeText;
  readonly sources: readonly ContextSource[];
}

export interface AssembleJob {
  readonly task: TaskBody;
  readonly tier: string;
  readonly target: ModelTarget;
  readonly template: Template;
  readonly provided: LargeText | undefined;
  readonly retrieved: RetrievedContext | undefined;
  readonly repair: RepairRequest | undefined;
}

/** An answer that was not valid, and what was wrong with it, to be fed back to the model. */
export interface RepairRequest {
  readonly answer: string;
  readonly violations: readonly Violation[];
}

export type Assembled =
  | {
      readonly kind: 'assembled';
      /** The request to the gateway, JSON in UTF-8. */
      readonly body: Uint8Array;
      readonly promptTokens: number;
      readonly context: FittedContext;
      /** The most output tokens that the window has room for, when all context is left out. */
      readonly outputRoom: number;
    }
  | {
      readonly kind: 'overflow';
      readonly promptTokens: number;
      /** False when the prompt has more tokens than that: it was not counted to its end. */
      readonly exact: boolean;
      readonly budgetTokens: number;
    };

export interface FittedContext {
  readonly tokens: number;
  /** Not all of what the caller provided fits. */
  readonly isCut?: true;
  readonly used: readonly ContextSource[];
  readonly dropped: readonly ContextSource[];
}

/** How many tokens the model's window leaves for retrieved context, asked before retrieval. */
export interface MeasureJob {
  readonly task: TaskBody;
  readonly provided: LargeText | undefined;
  readonly tier: string;
  readonly target: ModelTarget;
  readonly template: Template;
}

export interface ParseTaskJob {
  readonly body: Uint8Array;
}

export interface ParseEventJob {
  readonly body: Uint8Array;
  readonly contentType: string | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** Attributes of a CloudEvent that the service looks at, by their names in lower case. */
export type EventAttributes = Readonly<
  Partial<Record<'traceparent' | 'tracestate' | 'correlationid' | 'expirytime', string>>
>;

/** A message as it was read. `claims` is what it says of itself, whether or not it is valid. */
export interface ParsedEvent {
  readonly parsed: ParsedTask;
  readonly attributes: EventAttributes;
  readonly claims: { readonly taskId: string | undefined; readonly domain: string | undefined };
}

export type ParsedTask =
  | {
      readonly kind: 'task';
      readonly task: TaskBody;
      readonly context: LargeText | undefined;
      readonly requestHash: string;
    }
  | { readonly kind: 'malformed'; readonly detail: string }
  | { readonly kind: 'invalid'; readonly violations: readonly Violation[] };

export interface ParseContextJob {
  /** The body of an answer of the RAG service. */
  readonly answer: Uint8Array;
}

export type ParsedContext =
  | { readonly kind: 'context'; readonly text: LargeText; readonly sources: readonly ContextSource[] }
  | { readonly kind: 'malformed'; readonly detail: string };

export interface ReadJob {
  readonly domain: string;
  readonly protocol: Protocol;
  readonly tokenizer: TokenizerName;
  /** True when the endpoint was asked for JSON, so that anything else can never become valid. */
  readonly structured: boolean;
  readonly maxOutputTokens: number;
  readonly maxOutputBytes: number;
  /** What an earlier thread had read of the same stream before it died. */
  readonly resume:
    | { readonly text: string; readonly reasoning: string; readonly told: StreamTold }
    | undefined;
  readonly chunk: Uint8Array;
  readonly ended: StreamEnd | undefined;
  /** Brings the rest of the stream when it has not ended with `chunk`. */
  readonly port: MessagePort | undefined;
}

/** clean: the body came to its end as HTTP says it must; broken: it did not. */
export type StreamEnd = 'clean' | 'broken';

export interface ReadMore {
  readonly chunk: Uint8Array;
  readonly ended: StreamEnd | undefined;
}

/** What a stream has told of its answer so far, beside the text. */
export interface StreamTold {
  readonly model: string | undefined;
  readonly usage: Usage | undefined;
  readonly refusal: string | undefined;
  readonly finishReason: string | undefined;
  /** The answer went on behind it. */
  readonly finishIsVain: boolean;
}

/** What one part of the stream brought. */
export interface ReadProgress {
  /** Bytes at the end of what was sent so far that are not understood yet, to be sent again on a resume. */
  readonly unread: number;
  readonly text: string;
  readonly reasoning: string;
  /** What was shown before turned out to have been thoughts. */
  readonly voided: boolean;
  /** The part of the result that a caller may see. */
  readonly delta: string;
  readonly tokens: number;
  /** Of all parts so far. */
  readonly told: StreamTold;
}

export interface Usage {
  readonly prompt: number;
  readonly completion: number;
}

/** Whether the gateway has said that the answer is over; what may follow is usage, and the end. */
export function isFinished({ finishReason, finishIsVain }: StreamTold): boolean {
  return finishReason !== undefined && !finishIsVain;
}

/** A whole stream, read and judged. */
export interface Reading {
  readonly end: ReadingEnd;
  readonly finishReason: string | undefined;
  readonly model: string | undefined;
  readonly usage: Usage | undefined;
  /** Our own counts, in tokens; thoughts are reasoning, wherever they stand. */
  readonly counted: { readonly content: number; readonly reasoning: number };
  /** What the last part brought for callers, as in `ReadProgress`. */
  readonly voided: boolean;
  readonly delta: string;
}

export type ReadingEnd =
  | { readonly kind: 'judged'; readonly verdict: Verdict }
  /** The stream ended before the model did. */
  | { readonly kind: 'broken'; readonly detail: string }
  /** The gateway put an error into a 200 stream. */
  | {
      readonly kind: 'error';
      readonly detail: string;
      readonly retryable: boolean;
      readonly busy?: boolean;
      readonly about?: GatewayError['about'];
    };

export type Verdict =
  | { readonly kind: 'valid'; readonly output: Uint8Array; readonly notes: readonly Note[] }
  | {
      readonly kind: 'invalid';
      readonly fault: 'wrong_shape' | 'cut_off' | 'empty' | 'too_large';
      /** True when the stream was aborted because it could no longer become valid. */
      readonly early: boolean;
      readonly violations: readonly Violation[];
      /** The answer, shortened, for the repair. */
      readonly answer: string;
    }
  | {
      readonly kind: 'refused';
      readonly reason: RefusalReason;
      readonly recommendation: Recommendation;
      readonly message: string;
    }
  | { readonly kind: 'needs_clarification'; readonly questions: readonly string[]; readonly message: string };

/** A job that may travel with others. */
export type BatchedJob =
  | { readonly kind: 'measure'; readonly job: MeasureJob }
  | { readonly kind: 'assemble'; readonly job: AssembleJob }
  | { readonly kind: 'read'; readonly job: ReadJob };

/** What became of one job of a batch; a bug in one does not fail the others. */
export type BatchedResult = { readonly value: number | Assembled | Reading } | { readonly error: string };
