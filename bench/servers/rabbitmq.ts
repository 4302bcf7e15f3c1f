import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { childrenOf, freePort, gone } from './processes.js';
import { erlangCommand, NODE, type RabbitCommands, rabbitCommands } from './rabbitmq-commands.js';
import { withoutPlugins } from './rabbitmq-home.js';

/** A RabbitMQ of one's own, with its data in a temporary directory. */
export interface RabbitServer extends RabbitCommands {
  readonly port: number;
  /** As RABBITMQ_HOST takes it; it stays the same over restarts. */
  readonly url: string;
  /** What its commands need to find it. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Starts it again after `stop` or `kill`. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** SIGKILL: what was not on disk is lost. */
  kill(): Promise<void>;
  /** Ends it and removes its data. */
  close(): Promise<void>;
}

/**
 * Starts a RabbitMQ on free loopback ports. `settings` are lines of rabbitmq.conf; `featureFlags` those that are enabled,
 * in place of all.
 */
export async function startRabbit(
  settings: readonly string[] = [],
  featureFlags?: readonly string[],
): Promise<RabbitServer> {
  const directory = mkdtempSync(join(tmpdir(), 'rabbitmq-'));
  const [port, distributionPort, epmdPort] = [await freePort(), await freePort(), await freePort()];
  for (const name of ['home', 'conf.d']) mkdirSync(join(directory, name));
  for (const name of ['plugins', 'advanced.config']) writeFileSync(join(directory, name), '[].');
  writeFileSync(join(directory, 'env.conf'), '');
  writeFileSync(
    join(directory, 'rabbitmq.conf'),
    [
      `listeners.tcp.1 = 127.0.0.1:${port}`,
      'disk_free_limit.absolute = 50MB',
      'vm_memory_high_watermark.absolute = 1GB',
      'log.console = false',
      'loopback_users = none',
      ...settings,
      '',
    ].join('\n'),
  );
  const env = {
    PATH: process.env.PATH,
    HOME: join(directory, 'home'),
    LANG: 'C.UTF-8',
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_NODENAME: NODE,
    RABBITMQ_DIST_PORT: String(distributionPort),
    RABBITMQ_CONFIG_FILE: join(directory, 'rabbitmq.conf'),
    // Else what the machine has configured for its own broker counts, too.
    RABBITMQ_CONFIG_FILES: join(directory, 'conf.d'),
    RABBITMQ_ADVANCED_CONFIG_FILE: join(directory, 'advanced.config'),
    RABBITMQ_CONF_ENV_FILE: join(directory, 'env.conf'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(directory, 'plugins'),
    RABBITMQ_MNESIA_BASE: join(directory, 'data'),
    RABBITMQ_LOG_BASE: join(directory, 'log'),
    RABBITMQ_PID_FILE: join(directory, 'pid'),
    ...(featureFlags !== undefined && { RABBITMQ_FEATURE_FLAGS: featureFlags.join() }),
    // The script gives its process to the broker, which would else outlive it when that is killed.
    RUNNING_UNDER_SYSTEMD: 'true',
    // RabbitMQ's own `none` puts a thread to sleep between any two pieces of work, which on a virtual machine costs more
    // than the work: a start took twice as long. To spin for long would take the few cores from the others.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 2:2 +sbwt short +sbwtdcpu none +sbwtdio short',
  };
  const run = (command: string, args: string[]) => {
    const log = openSync(join(directory, 'output'), 'a');
    // It goes when this process is killed.
    return spawn('setpriv', ['--pdeathsig', 'KILL', command, ...args], {
      cwd: directory,
      env,
      stdio: ['ignore', log, log],
    });
  };
  const names = run(erlangCommand('epmd'), ['-port', String(epmdPort), '-address', '127.0.0.1']);
  let command: string | undefined;
  let broker: ChildProcess | undefined;
  const onExit = () => {
    for (const pid of familyOf(broker?.pid)) kill(pid);
    names.kill('SIGKILL');
  };
  process.once('exit', onExit);

  const server: RabbitServer = {
    port,
    url: `amqp://guest:guest@127.0.0.1:${port}`,
    env,
    ...rabbitCommands(env),

    async start() {
      command ??= withoutPlugins(directory);
      broker = run(command, []);
      const started = broker;
      const limit = Date.now() + START_LIMIT_MS;
      for (;;) {
        if (started.exitCode !== null || started.signalCode !== null || Date.now() > limit)
          throw new Error(`RabbitMQ did not start: ${readFileSync(join(directory, 'output'), 'utf8')}`);
        if (await listens(port)) return;
        await sleep(100);
      }
    },

    async stop() {
      const all = familyOf(broker?.pid);
      // What `rabbitmqctl stop` asks for, without an Erlang of its own.
      await server.evaluate('spawn(rabbit, stop_and_halt, []).');
      await gone(all, STOP_LIMIT_MS);
      broker = undefined;
    },

    async kill() {
      const all = familyOf(broker?.pid);
      for (const pid of all) kill(pid);
      await gone(all);
      broker = undefined;
    },

    async close() {
      if (broker !== undefined) await server.kill();
      names.kill('SIGKILL');
      process.off('exit', onExit);
      rmSync(directory, { recursive: true, force: true });
    },
  };
  try {
    await server.start();
  } catch (error) {
    // uvu says nothing of what a hook throws.
    console.error(error);
    await server.close();
    throw error;
  }
  return server;
}

/** Three times the minute that two slow cores have passed while three tests wanted them as well. */
const START_LIMIT_MS = 180_000;
const STOP_LIMIT_MS = 120_000;

/** A process and all that descend from it. */
function familyOf(pid: number | undefined): number[] {
  return pid === undefined ? [] : [pid, ...childrenOf(pid).flatMap(familyOf)];
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      // A broker that only half started accepts, and says nothing to a protocol header.
      socket.write(Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1]));
    });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('data', () => end(true));
    socket.once('error', () => end(false));
    socket.setTimeout(2000, () => end(false));
  });
}
