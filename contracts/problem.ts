import { type FailureCode, failures, recommendations, refusalReasons } from './failures.js';
import { Timings } from './outcome.js';
import Type, { type Static } from './typebox.js';
import type { Violation } from './validator.js';

/** An error answer, RFC 9457 (`application/problem+json`), with a stable `code`. */
export const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer({ minimum: 400, maximum: 599 }),
    code: Type.Enum(Object.keys(failures) as FailureCode[]),
    detail: Type.Optional(Type.String()),
    errors: Type.Optional(
      Type.Array(
        Type.Object({ path: Type.String(), message: Type.String() }, { additionalProperties: false }),
      ),
    ),
    task_id: Type.Optional(Type.String()),
    reason: Type.Optional(Type.Enum([...refusalReasons])),
    recommendation: Type.Optional(Type.Enum([...recommendations])),
    questions: Type.Optional(Type.Array(Type.String())),
    retryable: Type.Optional(Type.Boolean()),
    tokens_used: Type.Optional(Type.Integer({ minimum: 0 })),
    execution_time_ms: Type.Optional(Type.Number({ minimum: 0 })),
    timings: Type.Optional(Timings),
    overhead_ms: Type.Optional(Type.Number({ minimum: 0 })),
    model: Type.Optional(Type.String()),
    tier: Type.Optional(Type.String()),
    attempts: Type.Optional(Type.Integer({ minimum: 0 })),
    retry_after_seconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        description: 'What `Retry-After` says; a stream of events has no other place for it.',
      }),
    ),
    simulated: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);
export type Problem = Static<typeof Problem>;

/** Makes the problem document of a code. `detail` names the field and the limit, never the caller's content. */
export function problemOf(
  code: FailureCode,
  detail: string,
  more: Partial<Omit<Problem, 'type' | 'title' | 'status' | 'code' | 'detail'>> & {
    readonly errors?: Violation[];
  } = {},
): Problem {
  const rule = failures[code];
  return {
    type: `urn:worker-service:problem:${code}`,
    title: rule.title,
    status: rule.status,
    code,
    detail,
    retryable: rule.retryable,
    ...more,
  };
}
