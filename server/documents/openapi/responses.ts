import { type FailureCode, failures } from '../../../contracts/failures.js';
import { problemOf } from '../../../contracts/problem.js';
import type { Scope } from '../../../contracts/tokens.js';
import { type Json, refTo } from '../components.js';
import { failedOutcome } from '../examples.js';

/** An answer in JSON: a component schema, by its name, with an example. */
export function answers(description: string, schema: string, example: unknown): Json {
  return { description, content: { 'application/json': { schema: refTo(schema), example } } };
}

/** What an operation asks of its caller, where the service has tokens (RFC 6750). */
export function secured<Operation extends { readonly responses: object }>(
  scope: Scope,
  operation: Operation,
): Json {
  const challenge = {
    'WWW-Authenticate': { description: 'RFC 6750, 3.', required: true, schema: { type: 'string' } },
  };
  const refusals = Object.entries(problems(['unauthorized', 'forbidden'])).map(([status, response]) => [
    status,
    { ...(response as object), headers: challenge },
  ]);
  return {
    ...operation,
    security: [{}, { bearer: [scope] }],
    responses: { ...operation.responses, ...Object.fromEntries(refusals) },
  } as Json;
}

/** One response for each status of the codes, with an example of each code. */
export function problems(codes: readonly FailureCode[], said: Details = details): Json {
  const statuses = [...new Set(codes.map((code) => failures[code].status))].sort();
  return Object.fromEntries(
    statuses.map((status) => {
      const own = codes.filter((code) => failures[code].status === status);
      const headers = {
        ...(own.some((code) => timed.includes(code)) && {
          'Retry-After': {
            description: 'Seconds after which it is worth trying again, when that is known.',
            ...(own.every((code) => failures[code].status === 429) && { required: true }),
            schema: { type: 'integer', minimum: 0 },
          },
        }),
        ...(own.some((code) => closing.includes(code)) && {
          Connection: {
            description: 'The connection is closed.',
            required: true,
            schema: { const: 'close' },
          },
        }),
      };
      const examples = own.map((code) => [code, { value: example(code, said) }]);
      const response = {
        description: `${own.map((code) => `\`${code}\`: ${failures[code].title}`).join('. ')}.`,
        ...(Object.keys(headers).length > 0 && { headers }),
        content: {
          'application/problem+json': {
            schema: refTo('Problem'),
            examples: Object.fromEntries(examples),
          },
        },
      };
      return [String(status), response];
    }),
  );
}

function example(code: FailureCode, said: Details): object {
  return problemOf(code, said[code] ?? details[code] ?? failures[code].title, more[code]);
}

/** What failures say, for the examples. */
type Details = Partial<Record<FailureCode, string>>;

const details: Details = {
  unauthorized: 'a bearer token is required',
  forbidden: 'the token does not have the scope read',
  caller_limited: 'a caller may have 8 tasks at a time',
  not_found: 'there is no task task-123',
  invalid_request: '/description is required',
  request_timeout: 'the body must arrive within 10000 ms',
  task_conflict: 'task_id was used before with another body',
  cancelled: 'the task was cancelled',
  payload_too_large: 'the body must have at most 8388608 bytes',
  unsupported_media_type: 'the content-type must be application/json',
  unknown_domain: 'domain must be one of code-general, code-vision, code-embedded, documentation, ui-design',
  unknown_tier: 'tier must be one of tiny, small, large, coding, frontier',
  refused: 'the task is not one of this domain',
  needs_clarification: failedOutcome.detail,
  internal_error: 'the request could not be handled',
  store_unavailable: 'the store could not be read',
  shutting_down: 'the service is stopping',
};

const more: Partial<Record<FailureCode, object>> = {
  invalid_request: { errors: [{ path: '/description', message: 'is required' }] },
  unknown_domain: { task_id: 'task-123', errors: [{ path: '/domain', message: details.unknown_domain }] },
  unknown_tier: { task_id: 'task-123', errors: [{ path: '/tier', message: details.unknown_tier }] },
  refused: { task_id: 'task-123', reason: 'out_of_domain', recommendation: 'needs_domain_specialist' },
  needs_clarification: { task_id: 'task-123', questions: failedOutcome.questions },
};

/** Codes of answers that may say when to come again. */
const timed: readonly FailureCode[] = [
  'tier_saturated',
  'caller_limited',
  'gateway_error',
  'gateway_unavailable',
];

/** Codes after which the connection is closed, since the rest of the body was not read. */
const closing: readonly FailureCode[] = ['request_timeout', 'payload_too_large'];
