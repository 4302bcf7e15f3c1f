import { beginningOf, boundsOf } from './beginning.js';
import { excerpt } from './excerpt.js';
import { Compile, Settings, type Static, type TSchema } from './typebox.js';

// TypeBox stops at 8 errors by default; a caller should see all that is wrong in one answer.
const MAX_ERRORS = 64;
Settings.Set({ maxErrors: MAX_ERRORS });

/** One thing that is wrong with a value: where (RFC 6901 JSON pointer), and what was expected. */
export interface Violation {
  readonly path: string;
  readonly message: string;
}

/** One error as TypeBox reports it; `correct` reads it to find values with a single possible correction. */
export interface SchemaError {
  readonly keyword: string;
  readonly instancePath: string;
  readonly params: Record<string, unknown>;
  readonly message: string;
}

export interface Validator<T> {
  /** True when the value has the type; no coercion. */
  check(value: unknown): value is T;
  /** All violations (64 at most), without any part of the value in them. */
  violations(value: unknown): Violation[];
  /** The errors in TypeBox's own form. */
  errors(value: unknown): SchemaError[];
}

/** Compiles a schema once. Meant for module or start-up time, never per request. */
export function compile<S extends TSchema>(schema: S): Validator<Static<S>> {
  const compiled = Compile(schema);
  const bounds = boundsOf(schema);
  // TypeBox looks at each item and field although the list is too long, and although it has as many errors as it tells.
  const errors = (value: unknown) => {
    const beginning = beginningOf(value, bounds);
    const found = compiled.Errors(beginning) as unknown as SchemaError[];
    return found.length > 0 || beginning === value
      ? found
      : (compiled.Errors(value) as unknown as SchemaError[]);
  };
  return {
    check: (value): value is Static<S> => {
      const beginning = beginningOf(value, bounds);
      return compiled.Check(beginning) && (beginning === value || compiled.Check(value));
    },
    errors,
    violations: (value) => describe(errors(value)),
  };
}

function describe(errors: readonly SchemaError[]): Violation[] {
  const found = new Map<string, Violation>();
  for (const error of errors) {
    for (const violation of violationsOf(error)) {
      if (found.size >= MAX_ERRORS) return [...found.values()];
      const key = `${violation.path}\n${violation.message}`;
      if (!found.has(key)) found.set(key, violation);
    }
  }
  return [...found.values()];
}

function violationsOf(error: SchemaError): Violation[] {
  const at = error.instancePath;
  const params = error.params;
  switch (error.keyword) {
    case 'required':
      return (params.requiredProperties as string[]).map((name) => ({
        path: `${at}/${escapePointer(name)}`,
        message: 'is required',
      }));
    case 'additionalProperties':
      return (params.additionalProperties as string[]).map((name) => ({
        path: `${at}/${escapePointer(name)}`,
        message: 'is not a known field',
      }));
    // A field that is not known, once for each: where there are many, the list of them all is beyond the maximum.
    case 'boolean':
      return [{ path: shortened(at), message: 'is not a known field' }];
    case 'enum':
      return [{ path: at, message: `must be one of ${(params.allowedValues as unknown[]).join(', ')}` }];
    case 'const':
      return [{ path: at, message: `must be ${JSON.stringify(params.allowedValue)}` }];
    case 'type':
      return [{ path: at, message: `must be of type ${String(params.type)}` }];
    case 'minLength':
      return [{ path: at, message: `must have at least ${params.limit} characters` }];
    case 'maxLength':
      return [{ path: at, message: `must have at most ${params.limit} characters` }];
    case 'minItems':
      return [{ path: at, message: `must have at least ${params.limit} items` }];
    case 'maxItems':
      return [{ path: at, message: `must have at most ${params.limit} items` }];
    case 'minimum':
    case 'maximum':
    case 'exclusiveMinimum':
    case 'exclusiveMaximum':
      return [{ path: at, message: `must be ${params.comparison} ${params.limit}` }];
    case 'pattern':
      return [{ path: at, message: `must match ${String(params.pattern)}` }];
    default:
      return [{ path: at, message: error.message }];
  }
}

function escapePointer(name: string): string {
  return excerpt(name.replaceAll('~', '~0').replaceAll('/', '~1'), NAME_CHARACTERS);
}

/** The pointer, with its last name as short as `escapePointer` makes it. */
function shortened(pointer: string): string {
  const name = pointer.lastIndexOf('/') + 1;
  return pointer.slice(0, name) + excerpt(pointer.slice(name), NAME_CHARACTERS);
}

const NAME_CHARACTERS = 128;
