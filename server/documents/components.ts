import {
  ArtifactId,
  Attempt,
  artifactSchema,
  ContextSource,
  completedSchema,
  Failed,
  Note,
  OutputArtifact,
  Receipt,
  TokenUse,
  taskStatusSchema,
} from '../../contracts/outcome.js';
import { Problem } from '../../contracts/problem.js';
import { Task, TaskId, TaskInput } from '../../contracts/task.js';
import Type, { type TSchema } from '../../contracts/typebox.js';
import { domains } from '../../domains/registry.js';

/** A part of a document: plain JSON. */
export type Json = { readonly [key: string]: unknown };

/** A reference to a component schema. */
export function refTo(name: string): TSchema {
  return Type.Ref(`#/components/schemas/${name}`);
}

export function toJson(value: unknown): Json {
  return JSON.parse(JSON.stringify(value)) as Json;
}

/** The schema of one domain's output, under the name of a component: `code-general` → `CodeGeneralOutput`. */
const outputs = new Map(
  [...domains.values()].map(({ name, description, output }) => [
    `${name.replace(/(?:^|-)(\w)/g, (_, letter: string) => letter.toUpperCase())}Output`,
    { ...toJson(output), description } as unknown as TSchema,
  ]),
);

const Output = { anyOf: [...outputs.keys()].map(refTo), description: 'By the domain of the task.' };
const Completed = completedSchema(refTo('Output'));

/** What both documents speak of. */
export const taskComponents: Readonly<Record<string, TSchema>> = {
  TaskId,
  TaskInput,
  Task,
  ArtifactId,
  OutputArtifact,
  ...Object.fromEntries(outputs),
  Output: Output as TSchema,
  ContextSource,
  Note,
  TokenUse,
  Completed,
  Failed,
};

/** What only the HTTP answers have. */
export const answerComponents: Readonly<Record<string, TSchema>> = {
  TaskStatus: taskStatusSchema(refTo('Completed')),
  Attempt,
  Receipt,
  Artifact: artifactSchema(refTo('Output')),
  Problem,
};

/** Component schemas in plain JSON; where one contains another, by reference. */
export function componentSchemas(schemas: Readonly<Record<string, TSchema>>): Json {
  const names = new Map(Object.entries(schemas).map(([name, schema]) => [JSON.stringify(schema), name]));
  const referring = (value: unknown, own: boolean): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    const name = own ? undefined : names.get(JSON.stringify(value));
    if (name !== undefined) return refTo(name);
    if (Array.isArray(value)) return value.map((item) => referring(item, false));
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, referring(item, false)]));
  };
  return Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => [name, toJson(referring(toJson(schema), true))]),
  );
}
