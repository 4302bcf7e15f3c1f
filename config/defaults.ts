import { availableParallelism } from 'node:os';
import { isObject } from '../contracts/objects.js';
import Type, { type TRecord, type TSchema } from '../contracts/typebox.js';
import { type Config, ConfigSchema } from './schema.js';
import { modelFamilies, outputShare } from './sections/models.js';
import { defaultQueues } from './sections/queues.js';
import { usualMemoryMb } from './sections/threads.js';
import { defaultTiers } from './sections/workers.js';
import { leastMemoryMb } from './thread-memory.js';

const { workers, tier_models, queues, models, endpoints } = ConfigSchema.properties;

/**
 * Lays a layer (the file, the environment, or both) over the defaults. What is wrong in the layer stays as it
 * is, so that the schema finds it at its place.
 */
export function complete(layer: Mapping, domains: readonly string[]): Mapping {
  const tiers = table(tier_models, layer.tier_models ?? defaultOf(tier_models), [], () => ({}));
  const used = (field: keyof Config['tier_models'][string]) =>
    entriesOf(tiers)
      .map(([, tier]) => tier[field])
      .filter((name) => typeof name === 'string');
  const tables: Mapping = {
    workers: table(workers, layer.workers, domains, defaultWorker),
    tier_models: tiers,
    queues: table(queues, layer.queues, keysOf(tiers), (tier) => defaultQueues.get(tier) ?? {}),
    models: table(models, layer.models, used('model'), defaultModel),
    endpoints: table(endpoints, layer.endpoints, used('endpoint'), () => ({})),
  };
  const unknown = Object.entries(layer).filter(([name]) => !Object.hasOwn(ConfigSchema.properties, name));
  const sections = Object.entries(ConfigSchema.properties).map(([name, schema]): [string, unknown] => [
    name,
    name in tables
      ? tables[name]
      : name === 'server'
        ? withWorkersAndHost(filled(schema, layer[name]))
        : filled(schema, layer[name]),
  ]);
  return withThreadMemory({ ...Object.fromEntries(sections), ...Object.fromEntries(unknown) });
}

export type Mapping = Readonly<Record<string, unknown>>;

export function keysOf(value: unknown): string[] {
  return isObject(value) ? Object.keys(value) : [];
}

/** The entries of a table that are mappings themselves. */
export function entriesOf(value: unknown): [string, Mapping][] {
  if (!isObject(value)) return [];
  return Object.entries(value).filter((entry): entry is [string, Mapping] => isObject(entry[1]));
}

/** A table by name: an entry for each of `names` and for each name that is given. */
function table(
  schema: TRecord,
  given: unknown,
  names: readonly string[],
  defaults: (name: string, given: Mapping) => Mapping,
): unknown {
  // `queues:` with nothing below it is an empty table.
  if (given !== undefined && given !== null && !isObject(given)) return given;
  // A name that is wrong is wrong where it was given, not here.
  const entries = new Map<string, unknown>(names.filter(fits(schema)).map((name) => [name, {}]));
  for (const [name, entry] of Object.entries(given ?? {})) entries.set(name, entry ?? {});
  const item = Type.RecordValue(schema);
  // Looked up by names out of requests: without a prototype, `constructor` is not there.
  const result: Record<string, unknown> = Object.create(null);
  for (const [name, entry] of entries) {
    result[name] = isObject(entry) ? filled(item, { ...defaults(name, entry), ...entry }) : entry;
  }
  return result;
}

function withWorkersAndHost(server: unknown): unknown {
  if (!isObject(server)) return server;
  return {
    ...server,
    workers: server.workers ?? availableParallelism(),
    ...(server.host === undefined && {
      host: server.tokens_file === undefined ? '127.0.0.1' : '0.0.0.0',
    }),
  };
}

function withThreadMemory(draft: Mapping): Mapping {
  const { threads } = draft;
  if (!isObject(threads) || threads.max_memory_mb !== undefined) return draft;
  return {
    ...draft,
    threads: { ...threads, max_memory_mb: Math.max(usualMemoryMb, leastMemoryMb(draft)) },
  };
}

function fits(schema: TRecord): (name: string) => boolean {
  const pattern = new RegExp(Type.RecordPattern(schema));
  return (name) => pattern.test(name);
}

function filled(schema: TSchema, given: unknown): unknown {
  if (given !== undefined && given !== null && !isObject(given)) return given;
  const result: Record<string, unknown> = { ...given };
  for (const [name, field] of Object.entries(Type.IsObject(schema) ? schema.properties : {})) {
    const byDefault = defaultOf(field);
    if (isObject(byDefault) && (isObject(result[name]) || result[name] === null)) {
      result[name] = { ...byDefault, ...result[name] };
    } else if (result[name] === undefined && byDefault !== undefined) {
      result[name] = byDefault;
    }
  }
  return result;
}

function defaultOf(schema: TSchema): unknown {
  return structuredClone((schema as { default?: unknown }).default);
}

function defaultWorker(domain: string): Mapping {
  return {
    prompt_template: `workers/${domain.replaceAll('-', '_')}.md`,
    default_tier: defaultTiers.get(domain) ?? 'small',
  };
}

function defaultModel(name: string, given: Mapping): Mapping {
  const { window: contextWindow, tokenizer, exact } = familyOf(name);
  const window = Number.isInteger(given.context_window) ? Number(given.context_window) : contextWindow;
  return {
    context_window: contextWindow,
    max_output_tokens: Math.max(1, Math.floor(outputShare * window)),
    tokenizer,
    exact_counts: given.tokenizer === undefined ? exact : given.tokenizer !== 'claude',
  };
}

function familyOf(name: string) {
  // vLLM and gateways know models by `organisation/model`.
  const model = name.toLowerCase().split('/').at(-1)!;
  return modelFamilies.find(({ names }) => names.test(model))!;
}
