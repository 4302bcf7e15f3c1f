import { excerpt } from './excerpt.js';
import { asObject } from './objects.js';

/** What a model gateway says when it does not answer, by a status or inside of its stream. */
export interface GatewayError {
  /** In its own words, on one line; empty where it has none. */
  readonly message: string;
  /** The status that it names. */
  readonly status: number | undefined;
  /** Where it is about the task, not about the gateway: it does not fit the model's window, or is not allowed. */
  readonly about: 'length' | 'policy' | undefined;
  /** Another call would end as this one. */
  readonly isOfCaller: boolean;
}

/**
 * Reads the body of an error: OpenAI's `{error: {message, type, code}}`, and what else there is: texts, lists, objects
 * with `message`, `detail` or `errors`, HTML, and events.
 */
export function readErrorBody(body: string): GatewayError {
  const text = body.replace(/^\uFEFF/, '').trim();
  try {
    return readError(JSON.parse(/^data:(.*)$/m.exec(text)?.[1] ?? text));
  } catch {
    return readError(/^\s*</.test(text) ? textOfHtml(text) : text);
  }
}

/** Reads an error that was parsed. */
export function readError(value: unknown): GatewayError {
  const holder = asObject(Array.isArray(value) ? value[0] : value);
  const error = asObject(holder?.error) ?? holder;
  const message = oneLine(messageOf(value, 0));
  const codes = [error?.code, error?.type, asObject(error?.innererror)?.code].filter(
    (code): code is string => typeof code === 'string',
  );
  const number = [error?.code, error?.status].map(Number).find((code) => code >= 400 && code < 600);
  return {
    message: message || oneLine(codes.join(' ')),
    status: number,
    about: aboutOf(message, codes, error),
    isOfCaller:
      (number !== undefined && number < 500 && !PASSING.has(number)) ||
      codes.includes('invalid_request_error'),
  };
}

/** Whether a status says that somebody is busy or away, in front of the model or behind it. */
export function isBusy(status: number): boolean {
  return BUSY.has(status);
}

/** Whether the same request may come to a better end. */
export function isPassing(status: number): boolean {
  return status >= 500 || PASSING.has(status);
}

// Beside those of HTTP: Cloudflare's for an origin that does not answer, and Anthropic's for overload.
const BUSY = new Set([429, 502, 503, 504, 520, 521, 522, 523, 524, 529, 530]);
// 424: text-generation-inference, when a generation fails.
const PASSING = new Set([408, 424, 425, 429]);

function aboutOf(
  message: string,
  codes: readonly string[],
  error: Record<string, unknown> | undefined,
): GatewayError['about'] {
  if (codes.some((code) => POLICY_CODES.has(code))) return 'policy';
  // OpenRouter.
  if (asObject(error?.metadata)?.flagged_input !== undefined) return 'policy';
  if (codes.some((code) => LENGTH_CODES.has(code))) return 'length';
  return LENGTH_WORDS.test(message) && !RATE_WORDS.test(message) ? 'length' : undefined;
}

const POLICY_CODES = new Set([
  'content_filter',
  'content_policy_violation',
  'ResponsibleAIPolicyViolation',
  'moderation_blocked',
  'data_inspection_failed',
]);
const LENGTH_CODES = new Set([
  'context_length_exceeded',
  'exceed_context_size_error',
  'model_max_prompt_tokens_exceeded',
  'tokens_limit_reached',
]);
/**
 * OpenAI, vLLM, SGLang, Groq; llama.cpp, Ollama, LM Studio; Anthropic, Mistral; text-generation-inference; Gemini, Bedrock;
 * xAI, DashScope, Moonshot, Zhipu, Cohere.
 */
const LENGTH_WORDS =
  /maximum context length|(?:longer|greater) than (?:the |its )?(?:model['’]s |maximum )*(?:context|model) (?:length|window)|context (?:the )?overflows|maximum prompt length is|range of input length should be|exceeded model token limit|prompt exceeds max length|too many tokens: size limit exceeded|context[ _](?:length|window|size)\b.{0,60}\bexceed|exceeds?\b.{0,60}\bcontext[ _](?:length|window|size|limit)|prompt is too long|prompt\b.{0,60}\btoo (?:long|large)|too many (?:input )?tokens in the (?:prompt|request)|input (?:is|was) too long|input length\b.{0,80}\bexceed|`max_new_tokens` must be <=|inputs?` must have less than|input token count\b.{0,80}\bexceeds|reduce the length of the (?:messages|prompt|input)|too large for model with \d+ maximum context/i;
const RATE_WORDS = /per (?:minute|hour|day|second)|rate limit|quota/i;

/** The words in which somebody tells what is wrong; they stand in many places. */
function messageOf(value: unknown, depth: number): string {
  if (typeof value === 'string') return value;
  if (depth > MOST_DEPTH || value === null || typeof value !== 'object') return '';
  if (Array.isArray(value)) {
    const said = value.slice(0, MOST_SAID).map((each) => messageOf(each, depth + 1));
    return said.filter((each) => each !== '').join('; ');
  }
  const object = value as Record<string, unknown>;
  // Of FastAPI and others that check with pydantic.
  if (typeof object.msg === 'string' && Array.isArray(object.loc))
    return `${object.loc.join('.')}: ${object.msg}`;
  const inner = typeof object.error === 'object' ? messageOf(object.error, depth + 1) : '';
  if (inner !== '') return inner;
  for (const name of MESSAGE_FIELDS) {
    const said = messageOf(object[name], depth + 1);
    if (said === '') continue;
    // OpenRouter: what the provider behind it has said.
    const raw = asObject(object.metadata)?.raw;
    return typeof raw === 'string' && raw !== '' ? `${said}: ${raw}` : said;
  }
  return '';
}

const MESSAGE_FIELDS = [
  'message',
  'detail',
  'details',
  'errors',
  'msg',
  'error',
  'error_message',
  'errorMessage',
  'error_description',
  'Message',
  'title',
];
const MOST_DEPTH = 6;
const MOST_SAID = 3;

function textOfHtml(html: string): string {
  const title = /<title[^>]*>([^<]*)/i.exec(html)?.[1] ?? '';
  return title.trim() === '' ? html.slice(0, 4096).replace(/<[^<>]*>/g, ' ') : title;
}

function oneLine(text: string): string {
  return excerpt(
    text
      .slice(0, 4096)
      .replace(/[\s\p{Cc}]+/gu, ' ')
      .trim(),
    MOST_CHARACTERS,
  );
}

const MOST_CHARACTERS = 500;
