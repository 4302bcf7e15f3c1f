import { excerpt } from '../contracts/excerpt.js';
import type { Note } from '../contracts/outcome.js';
import type { SchemaError, Validator } from '../contracts/validator.js';

/**
 * Corrects values that have one possible correction, in place, and notes each: a field nobody knows is taken
 * out, a number in quotes becomes a number, one text where a list is asked for becomes a list of one, a name
 * in other letters takes its own, `null` for a field that may be missing is left out, and a path loses its
 * leading `./`. What is still wrong then stays wrong.
 */
export function correct(value: object, validator: Validator<unknown>): Note[] {
  const notes: Note[] = [];
  for (let round = 0; round < 4 && !validator.check(value); round++) {
    const before = notes.length;
    for (const error of validator.errors(value)) correctOne(value, error, notes);
    if (notes.length === before) break;
  }
  return notes;
}

function correctOne(root: object, error: SchemaError, notes: Note[]): void {
  if (error.keyword === 'additionalProperties') {
    const holder = resolve(root, error.instancePath);
    if (!isObject(holder)) return;
    for (const name of error.params.additionalProperties as string[]) {
      if (Reflect.deleteProperty(holder, name)) {
        notes.push({
          code: 'field_removed',
          path: `${error.instancePath}/${excerpt(name, 64)}`,
          message: 'not a known field',
        });
      }
    }
    return;
  }
  const slash = error.instancePath.lastIndexOf('/');
  const holder = slash < 0 ? undefined : resolve(root, error.instancePath.slice(0, slash));
  if (!isObject(holder)) return;
  const key = unescapePointer(error.instancePath.slice(slash + 1));
  const wrong = holder[key];
  if (wrong === null && !Array.isArray(holder)) {
    Reflect.deleteProperty(holder, key);
    notes.push({ code: 'null_removed', path: error.instancePath, message: 'null stood for a missing field' });
    return;
  }
  const right = correctionOf(wrong, error);
  if (right === undefined) return;
  holder[key] = right;
  notes.push({ code: 'value_corrected', path: error.instancePath, message: error.message });
}

function correctionOf(wrong: unknown, error: SchemaError): unknown {
  if (error.keyword === 'type') return retyped(wrong, String(error.params.type));
  if (error.keyword === 'enum' && typeof wrong === 'string') {
    const plain = plainName(wrong);
    const same = (error.params.allowedValues as unknown[]).filter(
      (v) => typeof v === 'string' && plainName(v) === plain,
    );
    return same.length === 1 ? same[0] : undefined;
  }
  if (error.keyword === 'pattern' && typeof wrong === 'string' && error.instancePath.endsWith('/path')) {
    const path = wrong.replaceAll('\\', '/').replace(/^(?:\.\/)+/, '');
    return path === wrong ? undefined : path;
  }
  return undefined;
}

function retyped(wrong: unknown, type: string): unknown {
  if (type === 'array' && typeof wrong === 'string') return [wrong];
  if (typeof wrong !== 'string') return undefined;
  if ((type === 'number' || type === 'integer') && /^-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?$/.test(wrong))
    return Number(wrong);
  if (type === 'boolean' && (wrong === 'true' || wrong === 'false')) return wrong === 'true';
  return undefined;
}

function plainName(name: string): string {
  return name
    .trim()
    .toLowerCase()
    .replace(/[\s-]+/g, '_');
}

function resolve(root: object, pointer: string): unknown {
  let value: unknown = root;
  for (const part of pointer.split('/').slice(1)) {
    const key = unescapePointer(part);
    if (!isObject(value) || !Object.hasOwn(value, key)) return undefined;
    value = value[key];
  }
  return value;
}

function unescapePointer(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
