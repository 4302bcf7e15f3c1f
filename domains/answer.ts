import { recommendations, refusalReasons } from '../contracts/failures.js';
import Type, { type TSchema } from '../contracts/typebox.js';
import type { Domain } from './domain.js';

/**
 * The schema a model is asked to answer by: the domain's output, a refusal or questions, told apart by `status`.
 *
 * Flat, and of plain keywords only (type, properties, items, enum, required, additionalProperties,
 * description), because servers with constrained decoding refuse or mistreat the rest: llama.cpp takes no
 * pattern without anchors, most take no lookahead, and long repetitions blow up their grammars. The bounds are
 * checked on the answer, by the domain's own schema. `status` and `content` come first, so that a stream shows
 * what it is at once.
 */
export function answerSchema(domain: Domain): TSchema {
  const { content, ...others } = propertiesOf(domain.output);
  return plain(
    Type.Object(
      {
        status: Type.Enum(['completed', 'refused', 'needs_clarification']),
        content: Type.Optional(content!),
        ...others,
        reason: Type.Optional(
          Type.Enum(
            refusalReasons.filter((reason) => reason !== 'declined_by_model'),
            { description: 'Of a refusal: why.' },
          ),
        ),
        recommendation: Type.Optional(
          Type.Enum([...recommendations], { description: 'Of a refusal: what would help.' }),
        ),
        message: Type.Optional(
          Type.String({ description: 'Of a refusal or of questions: one or two sentences for the caller.' }),
        ),
        questions: Type.Optional(
          Type.Array(Type.String(), { description: 'What must be known before the work can start.' }),
        ),
      },
      { additionalProperties: false },
    ),
  );
}

function propertiesOf(schema: TSchema): Record<string, TSchema> {
  return (schema as TSchema & { readonly properties: Record<string, TSchema> }).properties;
}

const plainKeywords = ['type', 'description', 'enum', 'required', 'additionalProperties'] as const;

function plain(schema: TSchema): TSchema {
  const from = schema as Record<string, unknown>;
  const made: Record<string, unknown> = {};
  if (Array.isArray(from.enum)) made.type = 'string';
  for (const keyword of plainKeywords) if (from[keyword] !== undefined) made[keyword] = from[keyword];
  if (from.items !== undefined) made.items = plain(from.items as TSchema);
  if (from.properties !== undefined) {
    const properties = Object.entries(from.properties as Record<string, TSchema>);
    made.properties = Object.fromEntries(properties.map(([name, property]) => [name, plain(property)]));
  }
  return made as TSchema;
}
