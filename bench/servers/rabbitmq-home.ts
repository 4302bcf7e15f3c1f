import { cpSync, existsSync, mkdirSync, readdirSync, realpathSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { rabbitCommand } from './rabbitmq-commands.js';

/**
 * Makes a home of RabbitMQ in `directory` that is as the installed one, without the plugins, which nobody enables here.
 * Erlang looks for each module in the folder of each of them, and that is a quarter of a start.
 * @returns the path of its `rabbitmq-server`, or the installed one where that lies otherwise than expected.
 */
export function withoutPlugins(directory: string): string {
  const installed = rabbitCommand('rabbitmq-server');
  const scripts = dirname(realpathSync(installed));
  const modules = join(scripts, '../plugins');
  if (basename(scripts) !== 'sbin' || !existsSync(modules)) return installed;
  const home = join(directory, 'rabbitmq');
  mkdirSync(join(home, 'plugins'), { recursive: true });
  // A link would lead the scripts to the installed home.
  cpSync(scripts, join(home, 'sbin'), { recursive: true, dereference: true });
  for (const name of readdirSync(modules).filter((name) => !/^rabbitmq_(?!prelaunch)/.test(name)))
    symlinkSync(join(modules, name), join(home, 'plugins', name));
  return join(home, 'sbin', 'rabbitmq-server');
}
