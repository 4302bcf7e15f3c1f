import { recommendations, refusalReasons, taskFailureCodes } from './failures.js';
import { idPattern, TaskId } from './task.js';
import Type, { type Static } from './typebox.js';

export const ArtifactId = Type.String({ minLength: 1, maxLength: 128, pattern: idPattern });

/**
 * A path inside the artifact: relative, forward slashes, no drive, no way out of its folder. No line separators either, beyond which
 * `.*` would not look.
 */
export const artifactPathPattern =
  '^(?!/)(?![A-Za-z]:)(?!.*(^|/)\\.\\.?(/|$))[^\\\\\\u0000-\\u001f\\u2028\\u2029]+$';

/** One of the files that an output consists of. */
export const OutputArtifact = Type.Object(
  {
    type: Type.String({ minLength: 1, maxLength: 64 }),
    language: Type.String({ minLength: 1, maxLength: 64 }),
    path: Type.String({ minLength: 1, maxLength: 1024, pattern: artifactPathPattern }),
    content: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
);
export type OutputArtifact = Static<typeof OutputArtifact>;

/** What every output has; each domain adds its own fields. */
export const outputFields = {
  content: Type.String({ minLength: 1, pattern: '\\S', description: 'The whole result as one text.' }),
  artifacts: Type.Optional(
    Type.Array(OutputArtifact, { maxItems: 256, description: 'The files that the content is made of.' }),
  ),
  summary: Type.Optional(Type.String({ description: 'What was made, in a few sentences.' })),
  assumptions: Type.Optional(
    Type.Array(Type.String(), { description: 'What was taken for granted because the task does not say.' }),
  ),
};

/** Where the context of a prompt came from. */
export const contextStatuses = ['provided', 'retrieved', 'both', 'none', 'degraded'] as const;
export const ContextStatus = Type.Enum([...contextStatuses]);
export type ContextStatus = Static<typeof ContextStatus>;

const Tokens = Type.Integer({ minimum: 0 });
const Milliseconds = Type.Number({ minimum: 0 });

export const ContextSource = Type.Object(
  {
    artifact_id: Type.String(),
    relevance_score: Type.Optional(Type.Number()),
    tokens: Type.Optional(Tokens),
  },
  { additionalProperties: false },
);
export type ContextSource = Static<typeof ContextSource>;

/** Something the service changed or wants known about an output that is valid all the same. */
export const Note = Type.Object(
  { code: Type.String(), path: Type.Optional(Type.String()), message: Type.String() },
  { additionalProperties: false },
);
export type Note = Static<typeof Note>;

export const TokenUse = Type.Object(
  {
    prompt: Tokens,
    completion: Tokens,
    counted_by: Type.Enum(['gateway', 'tokenizer'], {
      description: 'gateway: the usage that the gateway reported; tokenizer: our own count.',
    }),
    method: Type.Enum(['exact', 'approximate'], {
      description: "exact: the model's own vocabulary; approximate: another one stands in for it.",
    }),
  },
  { additionalProperties: false },
);
export type TokenUse = Static<typeof TokenUse>;

/** Where the time of an execution went, over all its attempts. The parts add up to `execution_time_ms`. */
export const Timings = Type.Object(
  {
    wait: Type.Number({
      minimum: 0,
      description:
        'For slots, between attempts, and for an endpoint that asked for a pause or is being tried.',
    }),
    context: Type.Number({ minimum: 0, description: 'For retrieved context.' }),
    assemble: Milliseconds,
    first_token: Type.Number({ minimum: 0, description: "Until the first bytes of the model's answers." }),
    stream: Type.Number({ minimum: 0, description: 'Until their last bytes.' }),
    validate: Type.Number({ minimum: 0, description: 'After their last bytes.' }),
    other: Milliseconds,
  },
  { additionalProperties: false, description: 'In milliseconds.' },
);
export type Timings = Static<typeof Timings>;

/** What outcomes of both kinds have. */
export const outcomeFields = {
  task_id: TaskId,
  tokens_used: Type.Integer({ minimum: 0, description: 'Prompt and completion tokens of all attempts.' }),
  execution_time_ms: Type.Optional(
    Type.Number({
      minimum: 0,
      description:
        'From acceptance, the wait for a slot included, until the outcome was made; writing it down comes after that.',
    }),
  ),
  timings: Type.Optional(Timings),
  overhead_ms: Type.Optional(
    Type.Number({
      minimum: 0,
      description:
        "The service's own part: without waiting for slots, for the gateway and for the RAG service.",
    }),
  ),
  domain: Type.Optional(Type.String()),
  tier: Type.Optional(Type.String({ description: 'The tier that ran last (escalation may change it).' })),
  model: Type.Optional(Type.String({ description: 'The model that answered.' })),
  attempts: Type.Optional(
    Type.Integer({ minimum: 0, description: 'Calls to the model gateway that were made.' }),
  ),
  tokens: Type.Optional(TokenUse),
  context: Type.Optional(ContextStatus),
  context_tokens: Type.Optional(Tokens),
  sources: Type.Optional(Type.Array(ContextSource)),
  simulated: Type.Optional(Type.Boolean({ description: 'True when a simulator stood in for the model.' })),
};

/** The answer to `POST /execute`: the specification's shape; all beyond it is optional. */
export const completedSchema = <const Output extends Type.TSchema>(output: Output) =>
  Type.Object(
    {
      ...outcomeFields,
      artifact_id: ArtifactId,
      status: Type.Literal('completed'),
      output,
      finish_reason: Type.Optional(Type.String()),
      notes: Type.Optional(Type.Array(Note)),
    },
    { additionalProperties: false },
  );

export const AnyOutput = Type.Object(outputFields);
export const Completed = completedSchema(AnyOutput);
export type Completed = Static<typeof Completed>;

const OutputErrors = Type.Array(
  Type.Object({ path: Type.String(), message: Type.String() }, { additionalProperties: false }),
);

export const Failed = Type.Object(
  {
    ...outcomeFields,
    status: Type.Literal('failed'),
    code: Type.Enum([...taskFailureCodes]),
    detail: Type.String(),
    retryable: Type.Boolean(),
    reason: Type.Optional(Type.Enum([...refusalReasons])),
    recommendation: Type.Optional(Type.Enum([...recommendations])),
    questions: Type.Optional(Type.Array(Type.String())),
    errors: Type.Optional(OutputErrors),
    retry_after_seconds: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  { additionalProperties: false },
);
export type Failed = Static<typeof Failed>;

/** One call to the model gateway, as the receipt tells it; or one that was not made. */
export const Attempt = Type.Object(
  {
    number: Type.Integer({ minimum: 1 }),
    tier: Type.String(),
    model: Type.String(),
    endpoint: Type.String(),
    kind: Type.Enum(['first', 'retry', 'repair', 'escalation', 'fallback']),
    started_at: Type.String({ format: 'date-time' }),
    headers_ms: Type.Optional(Milliseconds),
    first_token_ms: Type.Optional(Milliseconds),
    duration_ms: Milliseconds,
    tokens: TokenUse,
    reasoning_tokens: Type.Optional(Tokens),
    max_output_tokens: Tokens,
    finish_reason: Type.Optional(Type.String()),
    ended: Type.Enum(
      ['finished', 'broken', 'aborted', 'cancelled', 'rejected', 'unreachable', 'not_called'],
      {
        description:
          'broken: the stream ended before the answer did; aborted: the answer could no longer become valid, or could not be read; not_called: the endpoint was known to be down, was being tried by another call, or had asked for a pause.',
      },
    ),
    error: Type.Optional(Type.String()),
    errors: Type.Optional(OutputErrors),
    refusal: Type.Optional(
      Type.Object(
        {
          reason: Type.Enum([...refusalReasons]),
          recommendation: Type.Enum([...recommendations]),
          message: Type.String(),
        },
        { additionalProperties: false, description: 'Of the model, also where a larger one was asked then.' },
      ),
    ),
    repair: Type.Optional(Type.String({ description: 'Why the output was not taken as it was.' })),
  },
  { additionalProperties: false },
);
export type Attempt = Static<typeof Attempt>;

/** How an outcome came about. */
export const Receipt = Type.Object(
  {
    task_id: TaskId,
    request_hash: Type.String(),
    accepted_at: Type.String({ format: 'date-time' }),
    finished_at: Type.String({ format: 'date-time' }),
    template: Type.Optional(
      Type.Object({ name: Type.String(), sha256: Type.String() }, { additionalProperties: false }),
    ),
    context: Type.Object(
      {
        status: ContextStatus,
        tokens: Tokens,
        sources_used: Type.Array(ContextSource),
        sources_dropped: Type.Array(ContextSource),
        detail: Type.Optional(Type.String()),
      },
      { additionalProperties: false },
    ),
    attempts: Type.Array(Attempt),
    tokens_used: Tokens,
    notes: Type.Array(Note),
    outcome: Type.Object(
      { status: Type.Enum(['completed', 'failed']), code: Type.Optional(Type.String()) },
      { additionalProperties: false },
    ),
  },
  { additionalProperties: false },
);
export type Receipt = Static<typeof Receipt>;

/** The answer to `GET /tasks/{task_id}`. */
export const taskStatusSchema = <const Output extends Type.TSchema>(completed: Output) =>
  Type.Object(
    {
      task_id: TaskId,
      status: Type.Enum(['queued', 'running', 'completed', 'failed']),
      outcome: Type.Optional(Type.Union([completed, Failed])),
    },
    { additionalProperties: false },
  );

/** The answer to `GET /artifacts/{artifact_id}`. */
export const artifactSchema = <const Output extends Type.TSchema>(output: Output) =>
  Type.Object(
    {
      artifact_id: ArtifactId,
      task_id: TaskId,
      domain: Type.String(),
      created_at: Type.String({ format: 'date-time' }),
      output,
    },
    { additionalProperties: false },
  );
