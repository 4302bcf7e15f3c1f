import { cpSync, existsSync, mkdirSync, readdirSync, realpathSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { rabbitCommand } from './rabbitmq-commands.js';

/**
 * Makes a home of RabbitMQ in `directory` that is as the installed one, without the plugins, which nobody enables here.
 * Erlang looks for each module in the folder of each of them, and that is a quarter of a start. An installation that looks
 * otherwise is left as it is.
 * @returns the path of its `rabbitmq-server`.
 */
export function withoutPlugins(directory: string): string {
  const installed = realpathSync(rabbitCommand('rabbitmq-server'));
  const from = join(dirname(installed), '..');
  const [scripts, modules] = [join(from, 'sbin'), join(from, 'plugins')];
  if (dirname(installed) !== scripts || !existsSync(modules)) return installed;
  const home = join(directory, 'rabbitmq');
  mkdirSync(join(home, 'plugins'), { recursive: true });
  // A link would lead the scripts to the installed home.
  cpSync(scripts, join(home, 'sbin'), { recursive: true, dereference: true });
  for (const name of readdirSync(modules).filter((name) => !/^rabbitmq_(?!prelaunch)/.test(name)))
    symlinkSync(join(modules, name), join(home, 'plugins', name));
  return join(home, 'sbin', 'rabbitmq-server');
}
