import { parseArgs } from 'node:util';

const usage = `Usage: npm start [-- OPTIONS]

  --config FILE    the configuration; without, that of CONFIG_FILE, or config/worker-service.yaml
  --check-config   print what holds, secrets masked, and end
  --help           this
`;

/** What the process is asked to do. */
export type Order = 'serve' | 'check' | { readonly print: string; readonly exitCode: 0 | 2 };

/** @param args of the command line; `serve` stands before them where `worker-service serve` has begun the process. */
export function orderOf(args: readonly string[]): Order {
  const own = args[0] === 'serve' ? args.slice(1) : args;
  try {
    const { values } = parseArgs({ args: own, options });
    if (values.help) return { print: usage, exitCode: 0 };
    return values['check-config'] ? 'check' : 'serve';
  } catch (error) {
    return { print: `${(error as Error).message}\n\n${usage}`, exitCode: 2 };
  }
}

const options = {
  config: { type: 'string' },
  'check-config': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;
