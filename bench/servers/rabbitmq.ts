import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ensureInstalled } from './debian.js';
import { childrenOf, freePort, gone } from './processes.js';

/** A RabbitMQ of one's own, with its data in a temporary directory. */
export interface RabbitServer {
  readonly port: number;
  /** As RABBITMQ_HOST takes it; it stays the same over restarts. */
  readonly url: string;
  /** Starts it again after `stop` or `kill`. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** SIGKILL: what was not on disk is lost. */
  kill(): Promise<void>;
  /** Runs rabbitmqctl; resolves to what it printed. */
  control(...args: string[]): Promise<string>;
  /** Messages ready and unacked, by queue. */
  queues(): Promise<ReadonlyMap<string, QueueCounts>>;
  /** Ends it and removes its data. */
  close(): Promise<void>;
}

export interface QueueCounts {
  readonly ready: number;
  readonly unacked: number;
  readonly consumers: number;
}

const NODE = 'test@localhost';

/** What `rabbitmqctl list_queues` asks the broker. */
const QUEUES = `[lists:flatten(io_lib:format("~ts ~w ~w ~w", [Name, Ready, Unacked, Consumers])) ||
  [{_, {resource, _, _, Name}}, {_, Ready}, {_, Unacked}, {_, Consumers}] <-
    rabbit_amqqueue:info_all(<<"/">>, [name, messages_ready, messages_unacknowledged, consumers])].`;

/** Starts a RabbitMQ on free loopback ports. `settings` are lines of rabbitmq.conf. */
export async function startRabbit(settings: readonly string[] = []): Promise<RabbitServer> {
  const binaries = ensureInstalled('rabbitmq-server', () =>
    existsSync('/usr/lib/rabbitmq/bin/rabbitmq-server') ? '/usr/lib/rabbitmq/bin' : undefined,
  );
  const directory = mkdtempSync(join(tmpdir(), 'rabbitmq-'));
  const [port, distributionPort, epmdPort] = [await freePort(), await freePort(), await freePort()];
  mkdirSync(join(directory, 'home'));
  writeFileSync(join(directory, 'plugins'), '[].');
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
    RABBITMQ_ENABLED_PLUGINS_FILE: join(directory, 'plugins'),
    RABBITMQ_MNESIA_BASE: join(directory, 'data'),
    RABBITMQ_LOG_BASE: join(directory, 'log'),
    RABBITMQ_PID_FILE: join(directory, 'pid'),
    // Idle schedulers would spin on the few cores that tests and benchmarks have.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none',
  };
  const run = (command: string, args: string[]) => {
    const log = openSync(join(directory, 'output'), 'a');
    // The whole group goes when this process is killed; see `end` for the rest.
    return spawn('setpriv', ['--pdeathsig', 'KILL', command, ...args], {
      cwd: directory,
      env,
      stdio: ['ignore', log, log],
    });
  };
  const names = run(erlangCommand('epmd'), ['-port', String(epmdPort), '-address', '127.0.0.1']);
  let shell: ChildProcess | undefined;
  const onExit = () => {
    for (const pid of familyOf(shell?.pid)) kill(pid);
    names.kill('SIGKILL');
  };
  process.once('exit', onExit);

  const server: RabbitServer = {
    port,
    url: `amqp://guest:guest@127.0.0.1:${port}`,

    async start() {
      shell = run(join(binaries, 'rabbitmq-server'), []);
      const started = shell;
      for (let i = 0; ; i++) {
        if (started.exitCode !== null || i > 600)
          throw new Error(`RabbitMQ did not start: ${readFileSync(join(directory, 'output'), 'utf8')}`);
        if (await listens(port)) return;
        await sleep(100);
      }
    },

    async stop() {
      const all = familyOf(shell?.pid);
      await server.control('stop');
      await gone(all);
      shell = undefined;
    },

    async kill() {
      const all = familyOf(shell?.pid);
      for (const pid of all) kill(pid);
      await gone(all);
      shell = undefined;
    },

    async control(...args) {
      const { stdout } = await promisify(execFile)(join(binaries, 'rabbitmqctl'), ['-q', ...args], {
        env,
        timeout: 60_000,
      });
      return stdout;
    },

    async queues() {
      // Not by rabbitmqctl, which starts an Erlang of its own each time: that takes a second of a core.
      const asked = promisify(execFile)(erlangCommand('erl_call'), ['-sname', NODE, '-e'], {
        env,
        timeout: 60_000,
        maxBuffer: 2 ** 24,
      });
      asked.child.stdin!.end(`${QUEUES}\n`);
      return new Map([...(await asked).stdout.matchAll(/"([^"]*)"/g)].map(([, line]) => queueOf(line!)));
    },

    async close() {
      if (shell !== undefined) await server.kill();
      names.kill('SIGKILL');
      process.off('exit', onExit);
      rmSync(directory, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}

/** @throws {Error} when it is neither there nor can be installed. */
function erlangCommand(name: 'epmd' | 'erl_call'): string {
  return ensureInstalled('erlang-base', () =>
    ['/usr/bin/', '/usr/local/bin/'].map((path) => path + name).find((path) => existsSync(path)),
  );
}

/** A queue that is just going has no counts. */
function queueOf(line: string): readonly [name: string, counts: QueueCounts] {
  const [name, ...counts] = line.split(' ');
  const [ready = 0, unacked = 0, consumers = 0] = counts.map((count) => Number(count) || 0);
  return [name!, { ready, unacked, consumers }];
}

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
