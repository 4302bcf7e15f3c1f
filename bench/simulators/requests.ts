import { type Domain, domains } from './outputs.js';

/** A generation call, whichever protocol it came by. */
export interface GenerationRequest {
  readonly protocol: 'chat_completions' | 'generate';
  readonly model: string;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly maxTokens: number | null;
  readonly stop: readonly string[];
  /** The schema of `response_format: json_schema`. */
  readonly schema: JsonObject | null;
  readonly promptCharacters: number;
  readonly domain: Domain;
  readonly task: string | null;
}

export type JsonObject = Readonly<Record<string, unknown>>;

/** What is wrong with a request, in the words of the error answer. */
export interface Complaint {
  readonly message: string;
  readonly param: string | null;
}

/** Reads an OpenAI chat completion request; fields it does not know are let pass, as real servers do. */
export function readChatRequest(
  body: Buffer,
  headers: Readonly<Record<string, string>>,
): GenerationRequest | Complaint {
  const json = readObject(body);
  if (json === undefined) return complaint('The body is not a JSON object.', null);
  const shared = readShared(json, 'max_tokens');
  if ('message' in shared) return shared;
  if (!Array.isArray(json.messages) || json.messages.length === 0) {
    return complaint("'messages' must be a non-empty array.", 'messages');
  }
  const texts: string[] = [];
  for (const [index, message] of json.messages.entries()) {
    const text = isObject(message) && isRole(message.role) ? textOf(message) : undefined;
    if (text === undefined) {
      return complaint(`'messages[${index}]' must have a known role and text content.`, `messages[${index}]`);
    }
    texts.push(text);
  }
  const options = json.stream_options;
  if (options !== undefined && options !== null && (!isObject(options) || !shared.stream)) {
    return complaint(
      "'stream_options' is an object and only allowed when 'stream' is true.",
      'stream_options',
    );
  }
  const format = readFormat(json.response_format);
  if ('message' in format) return format;
  const limit = json.max_completion_tokens;
  if (!isAbsent(limit) && !isPositiveInteger(limit)) {
    return complaint("'max_completion_tokens' must be an integer of at least 1.", 'max_completion_tokens');
  }
  return {
    protocol: 'chat_completions',
    ...shared,
    maxTokens: isPositiveInteger(limit) ? limit : shared.maxTokens,
    stop: stopOf(json.stop),
    includeUsage: isObject(options) && options.include_usage === true,
    schema: format.schema,
    promptCharacters: texts.reduce((sum, text) => sum + text.length, 0),
    domain: domainOf(json, headers, [format.name, ...texts]),
    task: taskOf(json, headers),
  };
}

/** Reads a request in the sister gateway's own protocol. */
export function readGenerateRequest(
  body: Buffer,
  headers: Readonly<Record<string, string>>,
): GenerationRequest | Complaint {
  const json = readObject(body);
  if (json === undefined) return complaint('The body is not a JSON object.', null);
  const shared = readShared(json, 'max_tokens');
  if ('message' in shared) return shared;
  const { prompt, system_prompt: system } = json;
  if (typeof prompt !== 'string' || prompt === '') {
    return complaint("'prompt' must be a non-empty string.", 'prompt');
  }
  if (!isAbsent(system) && typeof system !== 'string') {
    return complaint("'system_prompt' must be a string.", 'system_prompt');
  }
  const texts = [system ?? '', prompt];
  return {
    protocol: 'generate',
    ...shared,
    stop: stopOf(json.stop_sequences),
    includeUsage: true,
    schema: null,
    promptCharacters: texts.reduce((sum, text) => sum + text.length, 0),
    domain: domainOf(json, headers, texts),
    task: taskOf(json, headers),
  };
}

export function isComplaint(read: GenerationRequest | Complaint): read is Complaint {
  return 'message' in read;
}

function readObject(body: Buffer): JsonObject | undefined {
  try {
    const json: unknown = JSON.parse(body.toString());
    return isObject(json) ? json : undefined;
  } catch {
    return undefined;
  }
}

interface SharedFields {
  readonly model: string;
  readonly stream: boolean;
  readonly maxTokens: number | null;
}

function readShared(json: JsonObject, limitName: string): SharedFields | Complaint {
  const { model, stream, temperature, [limitName]: limit } = json;
  if (typeof model !== 'string' || model === '')
    return complaint("'model' must be a non-empty string.", 'model');
  if (!isAbsent(stream) && typeof stream !== 'boolean')
    return complaint("'stream' must be a boolean.", 'stream');
  if (!isAbsent(temperature) && !(typeof temperature === 'number' && temperature >= 0 && temperature <= 2)) {
    return complaint("'temperature' must be a number from 0 to 2.", 'temperature');
  }
  if (!isAbsent(limit) && !isPositiveInteger(limit)) {
    return complaint(`'${limitName}' must be an integer of at least 1.`, limitName);
  }
  return { model, stream: stream === true, maxTokens: isPositiveInteger(limit) ? limit : null };
}

function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

function isPositiveInteger(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const roles: readonly unknown[] = ['system', 'developer', 'user', 'assistant', 'tool'];

function isRole(role: unknown): boolean {
  return roles.includes(role);
}

function textOf(message: JsonObject): string | undefined {
  const { content } = message;
  if (typeof content === 'string') return content;
  if (isAbsent(content)) return message.role === 'assistant' ? '' : undefined;
  if (!Array.isArray(content)) return undefined;
  return content.map((part) => (isObject(part) && typeof part.text === 'string' ? part.text : '')).join('');
}

function readFormat(format: unknown): { name: string; schema: JsonObject | null } | Complaint {
  if (isAbsent(format)) return { name: '', schema: null };
  const type = isObject(format) ? format.type : undefined;
  if (type === 'text' || type === 'json_object') return { name: '', schema: null };
  if (type !== 'json_schema') {
    return complaint(
      "'response_format.type' must be text, json_object or json_schema.",
      'response_format.type',
    );
  }
  const described = (format as JsonObject).json_schema;
  if (!isObject(described) || !isObject(described.schema)) {
    return complaint(
      "'response_format.json_schema.schema' must be an object.",
      'response_format.json_schema',
    );
  }
  return { name: String(described.name ?? ''), schema: described.schema };
}

function stopOf(stop: unknown): string[] {
  const list = typeof stop === 'string' ? [stop] : Array.isArray(stop) ? stop : [];
  return list.filter((entry): entry is string => typeof entry === 'string' && entry !== '');
}

/** Said outright, or else the first domain that the texts mention: a template's own text comes first. */
function domainOf(
  json: JsonObject,
  headers: Readonly<Record<string, string>>,
  texts: readonly string[],
): Domain {
  const metadata = isObject(json.metadata) ? json.metadata : {};
  const said = metadata.domain ?? headers['x-task-domain'];
  const known = domains.find((domain) => domain === said);
  if (known !== undefined) return known;
  for (const text of texts) {
    const mentioned = specialist.exec(text)?.[0];
    if (mentioned !== undefined) return mentioned.replace(/[_ ]/g, '-').toLowerCase() as Domain;
    if (/\bdocumentation\b/i.test(text)) return 'documentation';
  }
  return 'code-general';
}

/** Without `documentation`: an everyday word, it counts only in a text that names no other domain. */
const specialist = new RegExp(
  `\\b(?:${domains
    .filter((domain) => domain !== 'documentation')
    .map((domain) => domain.replaceAll('-', '[-_ ]'))
    .join('|')})\\b`,
  'i',
);

function taskOf(json: JsonObject, headers: Readonly<Record<string, string>>): string | null {
  const metadata = isObject(json.metadata) ? json.metadata : {};
  const task = metadata.task_id ?? headers['x-task-id'];
  return typeof task === 'string' ? task : null;
}

function complaint(message: string, param: string | null): Complaint {
  return { message, param };
}
