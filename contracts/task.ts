import Type, { type Static } from './typebox.js';
import { compile } from './validator.js';

/** Bounds of a task. Texts are in characters (UTF-16 code units at most); the body as a whole in bytes. */
export const taskLimits = {
  idCharacters: 128,
  descriptionCharacters: 262_144,
  contextCharacters: 8_388_608,
  inputContentCharacters: 4_194_304,
  listItems: 128,
  listItemCharacters: 16_384,
  outputTokens: 1_000_000,
} as const;

/** An id that is safe as a path segment, a store key and an AMQP header alike. */
export const idPattern = '^[A-Za-z0-9][A-Za-z0-9._:@-]*$';

export const TaskId = Type.String({
  minLength: 1,
  maxLength: taskLimits.idCharacters,
  pattern: idPattern,
  description: 'The key of idempotency: the same task_id is executed once.',
});

/** Names of domains and tiers: shaped here, known or unknown is decided by the registry and the configuration. */
const Name = Type.String({ minLength: 1, maxLength: 64, pattern: '^[A-Za-z0-9][A-Za-z0-9._-]*$' });

const ListItem = Type.String({ minLength: 1, maxLength: taskLimits.listItemCharacters });
const TextList = Type.Array(ListItem, { maxItems: taskLimits.listItems });

export const TaskInput = Type.Object(
  {
    content: Type.String({ maxLength: taskLimits.inputContentCharacters }),
    artifact_id: Type.Optional(Type.String({ minLength: 1, maxLength: 128, pattern: idPattern })),
    path: Type.Optional(Type.String({ minLength: 1, maxLength: 1024 })),
    type: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    language: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  },
  {
    additionalProperties: false,
    description: 'An earlier artifact that the task builds on, with its content.',
  },
);

const ConstraintName = Type.String({
  pattern: '^(?!(__proto__|constructor|prototype)$)[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$',
});
const Constraints = Type.Union(
  [
    TextList,
    Type.Record(ConstraintName, Type.Union([ListItem, Type.Number(), Type.Boolean(), TextList]), {
      additionalProperties: false,
      maxProperties: taskLimits.listItems,
    }),
  ],
  { description: 'Hardware, standards and other bounds: a list of texts, or names with values.' },
);

/** The body of `POST /execute`, and the data of the event `task.ready.{tier}`. */
export const Task = Type.Object(
  {
    task_id: TaskId,
    description: Type.String({
      minLength: 1,
      maxLength: taskLimits.descriptionCharacters,
      pattern: '\\S',
      description: 'What is to be made.',
    }),
    domain: Name,
    tier: Type.Optional(Name),
    context: Type.Optional(
      Type.String({
        maxLength: taskLimits.contextCharacters,
        description: 'Context that the caller retrieved.',
      }),
    ),
    context_mode: Type.Optional(
      Type.Enum(['provided', 'retrieved', 'both'], {
        description:
          'Where context comes from. Default: provided when the request brings context, else retrieved.',
      }),
    ),
    project_id: Type.Optional(Type.String({ minLength: 1, maxLength: 128, pattern: idPattern })),
    acceptance_criteria: Type.Optional(TextList),
    inputs: Type.Optional(Type.Array(TaskInput, { maxItems: 64 })),
    constraints: Type.Optional(Constraints),
    max_output_tokens: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: taskLimits.outputTokens,
        description: 'Tokens the output may take.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type Task = Static<typeof Task>;

/** A task apart from its context, which may be large and goes its own way. */
export type TaskBody = Omit<Task, 'context'>;

export const taskValidator = compile(Task);
