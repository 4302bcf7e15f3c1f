import { parseArgs } from 'node:util';

/** What the command line asks for. */
export type Command =
  | { readonly kind: 'help' }
  | { readonly kind: 'wrong'; readonly message: string }
  | { readonly kind: 'compare'; readonly before: string; readonly after: string }
  | {
      readonly kind: 'run';
      /** In the order of `known`, without repetition. */
      readonly names: readonly string[];
      readonly seed: number;
      readonly rounds?: number;
      readonly seconds?: number;
      readonly output: string;
    };

export const usage = `npm run bench -- [NAME…] [--seed N] [--rounds N] [--seconds N] [--output DIRECTORY]
npm run bench -- --compare BEFORE.json AFTER.json`;

/** @param known names of the scenarios; all are run when none is named. */
export function parseArguments(argv: readonly string[], known: readonly string[]): Command {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(argv);
  } catch (error) {
    return wrong((error as Error).message);
  }
  const { values, positionals } = parsed;
  if (values.help) return { kind: 'help' };
  if (values.compare) {
    const [before, after, ...rest] = positionals;
    if (before === undefined || after === undefined || rest.length > 0)
      return wrong('--compare takes two JSON files');
    return { kind: 'compare', before, after };
  }
  const unknown = positionals.find((name) => !known.includes(name));
  if (unknown !== undefined) return wrong(`there is no scenario ${unknown}; known: ${known.join(', ')}`);
  const numbers: { seed?: number; rounds?: number; seconds?: number } = {};
  for (const name of ['seed', 'rounds', 'seconds'] as const) {
    const text = values[name];
    if (text === undefined) continue;
    const isWhole = /^\d+$/.test(text) && Number.isSafeInteger(Number(text));
    if (!isWhole || (name !== 'seed' && Number(text) === 0))
      return wrong(
        `--${name} takes a whole number${name === 'seed' ? '' : ' above 0'}, got ${JSON.stringify(text)}`,
      );
    numbers[name] = Number(text);
  }
  return {
    kind: 'run',
    names: known.filter((name) => positionals.length === 0 || positionals.includes(name)),
    output: values.output,
    ...numbers,
    seed: numbers.seed ?? 1,
  };
}

function wrong(message: string): Command {
  return { kind: 'wrong', message };
}

function parse(argv: readonly string[]) {
  return parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      seed: { type: 'string' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      output: { type: 'string', default: 'bench-results' },
      compare: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
}
