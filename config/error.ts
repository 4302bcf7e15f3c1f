/** One thing that is wrong with the configuration. No secret is in it. */
export interface Problem {
  /** The field, like `queues.small.concurrency`, the environment variable, or the place in the file. */
  readonly path: string;
  /** The value, or what stands in its place. */
  readonly found: string;
  readonly expected: string;
}

/** The service cannot start with this configuration; `problems` is all that is wrong with it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  /** @param file the configuration file. */
  constructor(
    file: string,
    readonly problems: readonly Problem[],
  ) {
    const lines = problems.map(({ path, found, expected }) => `  ${path}: ${found}, expected ${expected}`);
    super(`the configuration is not valid (${file})\n${lines.join('\n')}`);
  }
}
