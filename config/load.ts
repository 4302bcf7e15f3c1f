import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isObject } from '../contracts/objects.js';
import Type from '../contracts/typebox.js';
import { compile } from '../contracts/validator.js';
import { complete, type Mapping } from './defaults.js';
import { type Environment, environmentLayer, environmentVariables, variable } from './environment.js';
import { ConfigError, type Problem } from './error.js';
import { expectation, fieldName, keysExpected, schemaAt, shown } from './fields.js';
import { packageRoot } from './package-root.js';
import { crossProblems, exposure } from './rules.js';
import { type Config, ConfigSchema } from './schema.js';
import { threadsTooSmall } from './thread-memory.js';
import { parseYaml } from './yaml.js';

export { ConfigError, type Problem } from './error.js';

export interface LoadOptions {
  /** The configuration file; goes before `--config`, `CONFIG_FILE` and `config/worker-service.yaml`. */
  readonly path?: string;
  readonly env: Environment;
  /** The arguments of the command line; all but `--config PATH` are left alone. */
  readonly argv?: readonly string[];
  /** The names of the domains: each gets a worker, and no other may have one. */
  readonly domains: readonly string[];
  /** Finds what is wrong with what the configuration names, by field; asked when all values are right. */
  readonly check?: (config: Config) => readonly Problem[];
}

const root = fileURLToPath(packageRoot);
const validator = compile(ConfigSchema);

/**
 * Reads the file, lays the environment over it and both over the defaults. The result is frozen, its
 * directories are absolute.
 * @throws ConfigError with all that is wrong.
 */
export function loadConfig({ path, env, argv = [], domains, check }: LoadOptions): Config {
  const source = path === undefined ? locate(env, argv) : { name: 'path', file: resolve(path) };
  const fromFile = readLayer(source);
  const fromEnvironment = environmentLayer(env);
  const config = complete(overlay('problems' in fromFile ? {} : fromFile.layer, fromEnvironment), domains);
  const problems = [
    ...('problems' in fromFile ? fromFile.problems : fileProblems(fromFile.layer, domains)),
    ...schemaProblems(complete(fromEnvironment, domains), variableName),
  ];
  const reported = new Set(problems.map(({ path }) => fieldOfVariable(path) ?? path));
  if (!('problems' in fromFile)) {
    const ofBoth = [...exposure(config), ...threadsTooSmall(config)];
    problems.push(...ofBoth.filter(({ path }) => !reported.has(path)));
  }
  if (problems.length > 0) throw new ConfigError(source.file, problems);
  if (!validator.check(config)) throw new Error('two layers that are valid have become one that is not');
  const loaded = frozen(withAbsoluteDirectories(config));
  const named = check?.(loaded) ?? [];
  if (named.length > 0) throw new ConfigError(source.file, underVariables(named, env));
  return loaded;
}

/** Under the variable, where it is one that sets the field. */
function underVariables(problems: readonly Problem[], env: Environment): Problem[] {
  return problems.map(({ path, found, expected }) => {
    const set = environmentVariables.find(({ field }) => fieldName(field) === path);
    const isSet = set !== undefined && variable(env, set.name) !== undefined;
    return { path: isSet ? set.name : path, found, expected };
  });
}

/** Where the file is, and who said so. */
interface Source {
  readonly name: string;
  readonly file: string;
}

function locate(env: Environment, argv: readonly string[]): Source {
  const name = '--config';
  const given = argv.findLastIndex((argument) => argument === name || argument.startsWith(`${name}=`));
  if (given !== -1) {
    const file = argv[given] === name ? argv[given + 1] : argv[given]!.slice(name.length + 1);
    if (file) return { name, file: resolve(file) };
    throw new ConfigError('none', [{ path: name, found: 'missing', expected: 'the path of a file' }]);
  }
  const file = variable(env, 'CONFIG_FILE');
  if (file !== undefined) return { name: 'CONFIG_FILE', file: resolve(file) };
  return { name: 'default file', file: join(root, 'config', 'worker-service.yaml') };
}

function readLayer({ name, file }: Source): { readonly layer: Mapping } | { readonly problems: Problem[] } {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? String(error);
    return { problems: [{ path: name, found: `${file} (${reason})`, expected: 'a file that can be read' }] };
  }
  const parsed = parseYaml(text);
  if ('problems' in parsed) return parsed;
  // An empty file, or one of comments, is null.
  const layer = parsed.value ?? {};
  if (isObject(layer)) return { layer };
  return {
    problems: [{ path: 'line 1, column 1', found: shown(ConfigSchema, layer), expected: 'a mapping' }],
  };
}

function fileProblems(layer: Mapping, domains: readonly string[]): Problem[] {
  const draft = complete(layer, domains);
  const found = schemaProblems(draft, fieldName);
  const paths = new Set(found.map(({ path }) => path));
  return [...found, ...crossProblems(draft, domains).filter(({ path }) => !paths.has(path))];
}

function schemaProblems(draft: Mapping, nameOf: (keys: readonly string[]) => string): Problem[] {
  const paths = new Set(validator.violations(draft).map(({ path }) => path));
  return [...paths].map((path) => {
    const keys = keysIn(path);
    const schema = schemaAt(keys);
    const parent = schemaAt(keys.slice(0, -1));
    if (schema === undefined && parent !== undefined) {
      const found = Type.IsRecord(parent) ? 'not a valid name' : 'not a known field';
      return { path: nameOf(keys), found, expected: keysExpected(parent) };
    }
    return {
      path: nameOf(keys),
      found: shown(schema, valueAt(draft, keys)),
      expected: schema === undefined ? 'nothing' : expectation(schema),
    };
  });
}

/** The keys of an RFC 6901 JSON pointer. */
function keysIn(pointer: string): string[] {
  const keys = pointer.split('/').slice(1);
  return keys.map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function valueAt(value: unknown, keys: readonly string[]): unknown {
  return keys.reduce<unknown>(
    (at, key) => (Array.isArray(at) || isObject(at) ? Reflect.get(at, key) : undefined),
    value,
  );
}

function variableName(keys: readonly string[]): string {
  const set = environmentVariables.find(({ field }) => field[0] === keys[0] && field[1] === keys[1]);
  return set?.name ?? fieldName(keys);
}

function fieldOfVariable(variableName: string): string | undefined {
  const set = environmentVariables.find(({ name }) => name === variableName);
  return set && fieldName(set.field);
}

function overlay(below: Mapping, above: Mapping): Mapping {
  const sections = Object.entries(above).map(([name, section]): [string, unknown] => {
    const under = below[name];
    return [name, isObject(under) && isObject(section) ? { ...under, ...section } : section];
  });
  return { ...below, ...Object.fromEntries(sections) };
}

function withAbsoluteDirectories(config: Config): Config {
  const { store, prompts, embedded, server, rabbitmq } = config;
  return {
    ...config,
    server: withAbsolute(server, ['tokens_file', 'tls_cert_file', 'tls_key_file']),
    rabbitmq: withAbsolute(rabbitmq, ['tls_ca_file', 'tls_cert_file', 'tls_key_file']),
    store: { ...store, directory: resolve(root, store.directory) },
    prompts: { ...prompts, directory: resolve(root, prompts.directory) },
    embedded: { ...embedded, documents: resolve(root, embedded.documents) },
  };
}

function withAbsolute<T>(section: T, files: readonly (keyof T)[]): T {
  const absolute = files.flatMap((name) => {
    const file = section[name];
    return typeof file === 'string' ? [[name, resolve(root, file)]] : [];
  });
  return { ...section, ...Object.fromEntries(absolute) };
}

function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  for (const child of Object.values(value)) frozen(child);
  return Object.freeze(value);
}
