import { isObject } from '../../contracts/objects.js';
import { type GatewayKnobs, gatewayDefaults } from './gateway-knobs.js';
import {
  type Check,
  type Checks,
  flag,
  integer,
  listOf,
  mapOf,
  maxBytes,
  maxDelayMs,
  mergeKnobs,
  number,
  oneOf,
  plainKnobs,
  text,
} from './knob-checks.js';

/**
 * Lays `input` over `base`.
 * @throws {KnobError} when a knob is unknown or its value is not allowed; `base` is then unchanged.
 */
export function mergeGatewayKnobs(base: GatewayKnobs, input: unknown): GatewayKnobs {
  return mergeKnobs(base, gatewayDefaults, gatewayChecks, input, '');
}

const textOrTextByDomain: Check = (value) =>
  typeof value === 'string' ||
  (isObject(value) && Object.values(value).every((entry) => typeof entry === 'string'))
    ? undefined
    : 'a string, or an object of strings by domain';

const headerFields: Check = (value) =>
  isObject(value) && Object.entries(value).every(([name, field]) => isHeader(name, field))
    ? undefined
    : 'an object of headers, with names in lower case';

function isHeader(name: string, field: unknown): boolean {
  return /^[a-z0-9-]+$/.test(name) && typeof field === 'string' && /^[\x20-\x7e]*$/.test(field);
}

const nestedGatewayKnobs = plainKnobs(gatewayDefaults, () => gatewayChecks, ['script', 'perModel']);

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
