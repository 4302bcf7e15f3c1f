import Type, { type TSchema } from '../contracts/typebox.js';
import { type Config, ConfigSchema } from './schema.js';

/** The schema at a place of the configuration, undefined when there is no such field or name. */
export function schemaAt(keys: readonly string[]): TSchema | undefined {
  return keys.reduce<TSchema | undefined>(
    (schema, key) => (schema === undefined ? undefined : childOf(schema, key)),
    ConfigSchema,
  );
}

/** What a field takes, in words. */
export function expectation(schema: TSchema): string {
  const { expected, maxItems } = notesOf(schema);
  if (expected !== undefined) return expected;
  if (Type.IsEnum(schema)) return `one of ${schema.enum.join(', ')}`;
  if (Type.IsInteger(schema)) return `an integer ${range(schema)}`;
  if (Type.IsNumber(schema)) return `a number ${range(schema)}`;
  if (Type.IsBoolean(schema)) return 'true or false';
  if (Type.IsArray(schema)) return `a list of at most ${maxItems} texts`;
  return isMappingSchema(schema) ? 'a mapping' : 'a text that is not empty';
}

/** What may stand below a mapping: its fields, or the rule of its names. */
export function keysExpected(schema: TSchema): string {
  if (Type.IsObject(schema)) return `one of ${Object.keys(schema.properties).join(', ')}`;
  return notesOf(schema).names ?? 'nothing';
}

export function isMappingSchema(schema: TSchema): boolean {
  return Type.IsObject(schema) || Type.IsRecord(schema);
}

/** `queues.small.concurrency`; a name that could be misread is quoted: `models["gpt-4.1"].context_window`. */
export function fieldName(keys: readonly string[]): string {
  return keys
    .map((key, at) => {
      if (/^\d+$/.test(key)) return `[${key}]`;
      if (!/^[\w-]+$/.test(key)) return `[${JSON.stringify(key)}]`;
      return at === 0 ? key : `.${key}`;
    })
    .join('');
}

/** The configuration with every secret, and the credentials in every URL, replaced by `***`. */
export function withoutSecrets(config: Config): unknown {
  return masked(ConfigSchema, config);
}

/** A value as an error may show it. */
export function shown(schema: TSchema | undefined, value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  // What stands where nothing is known, or a whole mapping should be, may be a misplaced secret.
  if (schema === undefined || isMappingSchema(schema)) return `a ${typeof value}`;
  if (notesOf(schema).secret) return '***';
  return typeof value === 'string' ? quoted(value) : String(value);
}

function childOf(schema: TSchema, key: string): TSchema | undefined {
  if (Type.IsObject(schema))
    return Object.hasOwn(schema.properties, key) ? schema.properties[key] : undefined;
  if (Type.IsArray(schema)) return schema.items;
  if (!Type.IsRecord(schema)) return undefined;
  return new RegExp(Type.RecordPattern(schema)).test(key) ? Type.RecordValue(schema) : undefined;
}

function range(schema: TSchema): string {
  const { minimum, maximum } = notesOf(schema);
  return `from ${minimum} to ${maximum}`;
}

function masked(schema: TSchema | undefined, value: unknown): unknown {
  if (schema === undefined) return value;
  if (typeof value === 'string') {
    const { secret, url, brokers } = notesOf(schema);
    if (secret) return '***';
    if (brokers) return value.split(',').map(withoutBrokerCredentials).join(',');
    return url ? withoutCredentials(value) : value;
  }
  if (!isMappingSchema(schema) || value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, child]) => [key, masked(childOf(schema, key), child)]),
  );
}

function withoutCredentials(url: string): string {
  return url.replace(/^(https?:\/\/)[^/]*@/i, '$1***@');
}

function withoutBrokerCredentials(url: string): string {
  return url.replace(/^(\s*amqps?:\/\/)[^/]*@/i, '$1***@');
}

// Of a text that was refused it is not known what it is, so all that may be a credential of a URL goes.
function quoted(text: string): string {
  const safe = text
    .replace(/^([a-z][a-z0-9+.-]*:[/\\]+)?[\s\S]*@/i, '$1***@')
    .replace(/\?[\s\S]*=[\s\S]*/, '?***');
  return JSON.stringify(safe.length > 200 ? `${safe.slice(0, 200)}…` : safe);
}

/** What the schemas of the configuration say beside their types; `names` is the rule of a table's names. */
interface Notes {
  readonly expected?: string;
  readonly names?: string;
  readonly secret?: boolean;
  readonly url?: boolean;
  readonly brokers?: boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxItems?: number;
}

function notesOf(schema: TSchema): Notes {
  return schema as Notes;
}
