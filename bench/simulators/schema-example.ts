import { Schema } from '../../contracts/typebox.js';
import type { JsonObject } from './requests.js';

/**
 * Makes a value that is valid for a JSON Schema, keeping of `candidate` what fits: it stands in for a server
 * with constrained decoding. `pattern` is met only when one of a few plain texts does.
 */
export function exampleFor(schema: JsonObject, candidate: unknown): unknown {
  return fit(schema, candidate, schema, 0);
}

const maxDepth = 20;

function fit(schema: unknown, candidate: unknown, root: JsonObject, depth: number): unknown {
  if (!isObject(schema) || depth > maxDepth) return candidate ?? null;
  if (typeof schema.$ref === 'string') {
    return fit(resolve(schema.$ref, root), candidate, root, depth + 1);
  }
  if ('const' in schema) return schema.const;
  if (Array.isArray(schema.enum)) {
    return schema.enum.includes(candidate) ? candidate : schema.enum[0];
  }
  const branches = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(branches)) return fitOneOf(branches, candidate, root, depth);
  if (Array.isArray(schema.allOf)) {
    return fit(joined(schema, schema.allOf, root), candidate, root, depth + 1);
  }
  switch (typeOf(schema, candidate)) {
    case 'object':
      return fitObject(schema, candidate, root, depth);
    case 'array':
      return fitArray(schema, candidate, root, depth);
    case 'string':
      return fitString(schema, candidate);
    case 'integer':
      return fitNumber(schema, candidate, 1);
    case 'number':
      return fitNumber(schema, candidate, 0);
    case 'boolean':
      return candidate === true;
    case 'null':
      return null;
    default:
      return candidate ?? {};
  }
}

function resolve(reference: string, root: JsonObject): unknown {
  const steps = reference.replace(/^#\/?/, '').split('/').filter(Boolean);
  let found: unknown = root;
  for (const step of steps) {
    const key = decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~');
    found = isObject(found) ? found[key] : undefined;
  }
  return found;
}

function fitOneOf(
  branches: readonly unknown[],
  candidate: unknown,
  root: JsonObject,
  depth: number,
): unknown {
  const tried = branches.map((branch) => ({ branch, value: fit(branch, candidate, root, depth + 1) }));
  const unchanged = branches.find((branch) => isValid(branch, candidate, root));
  if (unchanged !== undefined) return candidate;
  const fitting =
    tried.find(({ branch, value }) => keepsMost(value, candidate) && isValid(branch, value, root)) ??
    tried.find(({ branch, value }) => isValid(branch, value, root));
  return (fitting ?? tried[0])?.value;
}

/** A union of outcomes is told apart by a constant such as `status`. */
function keepsMost(value: unknown, candidate: unknown): boolean {
  if (!isObject(value) || !isObject(candidate)) return typeof value === typeof candidate;
  return value.status === candidate.status;
}

function isValid(schema: unknown, value: unknown, root: JsonObject): boolean {
  if (!isObject(schema)) return schema === true;
  const definitions = { $defs: root.$defs ?? {}, definitions: root.definitions ?? {} };
  return Schema.Check({ ...definitions, ...schema }, value);
}

function joined(schema: JsonObject, parts: readonly unknown[], root: JsonObject): JsonObject {
  const { allOf: _, ...own } = schema;
  const schemas = [own, ...parts]
    .map((part) => (isObject(part) && typeof part.$ref === 'string' ? resolve(part.$ref, root) : part))
    .filter(isObject);
  return {
    ...Object.assign({}, ...schemas),
    properties: Object.assign({}, ...schemas.map((part) => part.properties)),
    required: schemas.flatMap((part) => asList(part.required)),
  };
}

function typeOf(schema: JsonObject, candidate: unknown): unknown {
  const { type } = schema;
  if (Array.isArray(type)) return type.find((name) => Schema.Check({ type: name }, candidate)) ?? type[0];
  if (type !== undefined) return type;
  if ('properties' in schema) return 'object';
  return 'items' in schema || 'prefixItems' in schema ? 'array' : undefined;
}

function fitObject(schema: JsonObject, candidate: unknown, root: JsonObject, depth: number): JsonObject {
  const properties = asObject(schema.properties);
  const required = asList(schema.required);
  const given = asObject(candidate);
  const made: Record<string, unknown> = {};
  for (const [name, property] of Object.entries(properties)) {
    if (required.includes(name) || name in given) made[name] = fit(property, given[name], root, depth + 1);
  }
  const others = schema.additionalProperties;
  for (const name of Object.keys(given)) {
    if (name in properties || others === false) continue;
    made[name] = isObject(others) ? fit(others, given[name], root, depth + 1) : given[name];
  }
  for (const name of required) {
    if (typeof name === 'string' && !(name in made)) made[name] = fit(others, null, root, depth + 1);
  }
  return made;
}

function fitArray(schema: JsonObject, candidate: unknown, root: JsonObject, depth: number): unknown[] {
  const heads = asList(schema.prefixItems);
  const given = asList(candidate);
  const least = Math.max(Number(schema.minItems ?? 0), heads.length);
  const most = Number(schema.maxItems ?? Number.POSITIVE_INFINITY);
  const length = Math.min(Math.max(given.length, least), most);
  return Array.from({ length }, (_, index) =>
    fit(heads[index] ?? schema.items, given[index], root, depth + 1),
  );
}

const plainTexts: Readonly<Record<string, string>> = {
  'date-time': '2025-01-01T00:00:00Z',
  date: '2025-01-01',
  time: '00:00:00Z',
  email: 'someone@example.com',
  uri: 'https://example.com/',
  url: 'https://example.com/',
  uuid: '00000000-0000-4000-8000-000000000000',
  ipv4: '127.0.0.1',
  hostname: 'example.com',
};

function fitString(schema: JsonObject, candidate: unknown): string {
  const texts = [
    candidate,
    plainTexts[String(schema.format)],
    'example',
    'Example',
    'a',
    'a1',
    '1',
    '1.0.0',
    'a.txt',
  ];
  const sized = texts.filter((text) => typeof text === 'string').map((text) => resized(schema, text));
  return sized.find((text) => Schema.Check({ ...schema, type: 'string' }, text)) ?? sized[0]!;
}

function resized(schema: JsonObject, text: string): string {
  const most = Number(schema.maxLength ?? Number.POSITIVE_INFINITY);
  return text.slice(0, most).padEnd(Number(schema.minLength ?? 0), 'x');
}

function fitNumber(schema: JsonObject, candidate: unknown, whole: 0 | 1): number {
  const type = whole ? 'integer' : 'number';
  if (typeof candidate === 'number' && Schema.Check({ ...schema, type }, candidate)) return candidate;
  const bound = (name: string, nudge: number) => (name in schema ? [Number(schema[name]) + nudge] : []);
  const step = Number(schema.multipleOf ?? whole) || 0;
  const nudge = step || 1e-6;
  const low = Math.max(...bound('minimum', 0), ...bound('exclusiveMinimum', nudge), Number.NEGATIVE_INFINITY);
  const high = Math.min(
    ...bound('maximum', 0),
    ...bound('exclusiveMaximum', -nudge),
    Number.POSITIVE_INFINITY,
  );
  const wished = Math.min(Math.max(0, low), high);
  if (step === 0) return wished;
  const above = Math.ceil(wished / step) * step;
  return above <= high ? above : Math.floor(wished / step) * step;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function asObject(value: unknown): JsonObject {
  return isObject(value) ? value : {};
}

function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
