/**
 * The one table of failures. Codes are for ever: a retired code is never used again.
 *
 * `retryable` says whether the same task may be executed again, as long as it was not its last attempt.
 */
export const failures = {
  invalid_request: { status: 400, title: 'The request is not valid', retryable: false },
  unauthorized: { status: 401, title: 'A valid token is required', retryable: false },
  forbidden: { status: 403, title: 'The token does not allow this', retryable: false },
  not_found: { status: 404, title: 'There is nothing under this name', retryable: false },
  method_not_allowed: { status: 405, title: 'The route does not take this method', retryable: false },
  request_timeout: { status: 408, title: 'The request body did not arrive in time', retryable: true },
  task_conflict: {
    status: 409,
    title: 'The task of this task_id is another one, or has ended',
    retryable: false,
  },
  cancelled: { status: 409, title: 'The task was cancelled', retryable: false },
  payload_too_large: { status: 413, title: 'The body is too large', retryable: false },
  unsupported_media_type: { status: 415, title: 'The body must be application/json', retryable: false },
  unknown_domain: { status: 422, title: 'There is no such domain', retryable: false },
  unknown_tier: { status: 422, title: 'There is no such tier', retryable: false },
  refused: { status: 422, title: 'The worker refused the task', retryable: false },
  needs_clarification: { status: 422, title: 'The worker asks back', retryable: false },
  tier_saturated: { status: 429, title: 'The tier has no room', retryable: true },
  caller_limited: { status: 429, title: 'The caller runs as many tasks as he may', retryable: true },
  internal_error: { status: 500, title: 'The service failed', retryable: true },
  output_invalid: { status: 502, title: 'The output is not valid', retryable: false },
  gateway_error: { status: 502, title: 'The model gateway answered wrongly', retryable: true },
  gateway_unavailable: { status: 503, title: 'The model gateway cannot be reached', retryable: true },
  broker_unavailable: { status: 503, title: 'The message broker does not take the task', retryable: true },
  shutting_down: { status: 503, title: 'The service is stopping', retryable: true },
  store_unavailable: { status: 503, title: 'The store does not take writes', retryable: true },
  deadline_exceeded: { status: 504, title: 'The deadline has passed', retryable: true },
} as const satisfies Record<string, FailureRule>;

export type FailureCode = keyof typeof failures;

/**
 * Codes that end a task. Those of a request that never became a task stand in an HTTP answer, or in the event that
 * answers a message which names a task_id.
 */
export const taskFailureCodes = [
  'invalid_request',
  'unknown_domain',
  'unknown_tier',
  'cancelled',
  'refused',
  'needs_clarification',
  'tier_saturated',
  'internal_error',
  'output_invalid',
  'gateway_error',
  'gateway_unavailable',
  'shutting_down',
  'store_unavailable',
  'deadline_exceeded',
] as const satisfies readonly FailureCode[];

export type TaskFailureCode = (typeof taskFailureCodes)[number];

interface FailureRule {
  readonly status: number;
  readonly title: string;
  readonly retryable: boolean;
}

/** Failures that are an answer like any other: the queue message of a task that ends so is no dead letter. */
export const answeringCodes: ReadonlySet<FailureCode> = new Set([
  'cancelled',
  'refused',
  'needs_clarification',
  'output_invalid',
]);

/** Why a worker refuses a task, and what would help. */
export const refusalReasons = [
  'complexity',
  'context_overflow',
  'out_of_domain',
  'insufficient_context',
  'declined_by_model',
] as const;
export type RefusalReason = (typeof refusalReasons)[number];

export const recommendations = [
  'needs_decomposition',
  'needs_larger_model',
  'needs_clarification',
  'needs_domain_specialist',
] as const;
export type Recommendation = (typeof recommendations)[number];
