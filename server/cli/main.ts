#!/usr/bin/env node
import { Command } from 'commander';
import { domainNames } from '../../domains/registry.js';
import { version } from '../version.js';
import { ask, Refused, type Target, Unreachable } from './client.js';
import { completionScript } from './completion.js';
import { type ExecuteOptions, runExecute } from './execute.js';
import { exitCodes } from './exit-codes.js';

/** `worker-service`: the one command for whoever runs the service, and for whoever uses it. */
const program = new Command('worker-service')
  .description('Executes generation tasks: run the service, and use it.')
  .version(version)
  .showHelpAfterError('(add --help for help)')
  .exitOverride((error) => process.exit(error.exitCode === 0 ? exitCodes.ok : exitCodes.usage))
  .addHelpText(
    'after',
    `
Exit codes: 0 done; 1 failed; 2 wrong usage; 3 the service cannot be reached; 4 the worker refused, or asks back.

Examples:
  worker-service serve --config /etc/worker-service.yaml
  worker-service execute --domain code-general "Create fibonacci function"
  worker-service execute --domain documentation - < notes.txt > guide.md
  worker-service tasks receipt task-123
  source <(worker-service completion)`,
  );

/** Hands the rest of the line to a program of its own. */
function handOver(name: string, description: string, load: () => Promise<unknown>, first: string[] = []) {
  program
    .command(name)
    .description(description)
    .argument('[arguments...]')
    .helpOption(false)
    .allowUnknownOption()
    .action(async (rest: string[]) => {
      process.argv = [process.argv[0]!, process.argv[1]!, ...first, ...rest];
      await load();
    });
}

// A worker of the cluster is started with the same line, so `serve` keeps it as it is.
program
  .command('serve')
  .description('run the service')
  .option('--config <file>', 'configuration (default: CONFIG_FILE, or that of the package)')
  .action(async () => {
    await import('../main.js');
  });
handOver(
  'check',
  'check the configuration and print what holds, secrets masked',
  () => import('../main.js'),
  ['--check-config'],
);

const withTarget = (command: Command) =>
  command
    .option('--url <url>', 'where the service is', process.env.WORKER_SERVICE_URL ?? 'http://127.0.0.1:8000')
    .option('--token <token>', 'bearer token (default: WORKER_SERVICE_TOKEN)');
const targetOf = (options: { url: string; token?: string }): Target => ({
  url: options.url,
  token: options.token ?? process.env.WORKER_SERVICE_TOKEN,
});

withTarget(program.command('execute'))
  .description('execute a task and print its result')
  .argument('<description>', 'what is to be done; - reads it from stdin')
  .requiredOption('--domain <domain>', `one of ${domainNames.join(', ')}`)
  .option('--tier <tier>', 'tier of models')
  .option('--project <id>', 'project whose documents are searched for context')
  .option('--context <file>', 'context, in place of what would be retrieved')
  .option('--task-id <id>', 'the same id with the same task answers with the stored outcome')
  .option('--output <file>', 'write the content there')
  .action(async (description: string, options: ExecuteOptions & { url: string; token?: string }) => {
    process.exitCode = await runExecute(targetOf(options), description, options);
  });

const tasks = program.command('tasks').description('look at tasks, and cancel them');
for (const [name, description, method, suffix] of [
  ['get', 'status and outcome', 'GET', ''],
  ['receipt', 'how the outcome came about', 'GET', '/receipt'],
  ['cancel', 'cancel for good', 'DELETE', ''],
] as const) {
  withTarget(tasks.command(name))
    .description(description)
    .argument('<task-id>')
    .action(async (id: string, options: { url: string; token?: string }) => {
      const answer = await ask(targetOf(options), method, `/tasks/${encodeURIComponent(id)}${suffix}`);
      process.stdout.write(`${JSON.stringify(answer, undefined, 2)}\n`);
    });
}

handOver('dead-letters', 'list, replay and drop dead letters', () => import('../dead-letters.js'));
handOver('tokens', 'add, list and revoke bearer tokens', () => import('../tokens/command.js'));
handOver(
  'bench',
  'measure the service (from a checkout with its development dependencies)',
  () => import('../../bench/main.js'),
);
program
  .command('completion')
  .description('print a script that completes commands in bash and zsh')
  .action(() => {
    process.stdout.write(completionScript(program));
  });

// A reader that has seen enough, or a disk that is full, is no fault of the program.
process.stdout.on('error', ({ code, message }: NodeJS.ErrnoException) => {
  if (code !== 'EPIPE') process.stderr.write(`${message}\n`);
  process.exit(exitCodes.failed);
});
try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode =
    error instanceof Unreachable
      ? exitCodes.unreachable
      : error instanceof Refused
        ? exitCodes.failed
        : exitCodes.usage;
}
