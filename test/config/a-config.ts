import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, type LoadOptions, loadConfig, type Problem } from '../../config/load.js';
import type { Config } from '../../config/schema.js';

export const domains = ['code-general', 'code-vision', 'code-embedded', 'documentation', 'ui-design'];

/** The configuration of a file with this text. */
export function aConfig(yaml: string, env: LoadOptions['env'] = {}): Config {
  return withFile(yaml, (path) => loadConfig({ path, env, domains }));
}

/** What is wrong with a file of this text; an empty list when nothing is. */
export function problemsOf(yaml: string, env: LoadOptions['env'] = {}): readonly Problem[] {
  return errorOf(() => aConfig(yaml, env))?.problems ?? [];
}

/** Paths of what is wrong, in alphabetical order. */
export function pathsOf(yaml: string, env: LoadOptions['env'] = {}): string[] {
  return problemsOf(yaml, env)
    .map(({ path }) => path)
    .sort();
}

/** The start-up error that a call throws, undefined when it throws nothing. */
export function errorOf(call: () => unknown): ConfigError | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
}

/** Calls with the path of a file with this text, which is gone afterwards. */
export function withFile<T>(text: string, call: (path: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'config-'));
  const path = join(directory, 'worker-service.yaml');
  try {
    writeFileSync(path, text);
    return call(path);
  } finally {
    rmSync(directory, { recursive: true });
  }
}
