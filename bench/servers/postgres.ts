import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureInstalled } from './debian.js';
import { childrenOf, freePort, gone, until } from './processes.js';

/** A PostgreSQL of one's own, with its data in a temporary directory. */
export interface PostgresServer {
  /** Of a database whose owner may do anything. It stays the same over restarts. */
  readonly url: string;
  /** Starts it again after `stop` or `kill`. */
  start(): Promise<void>;
  /** An orderly end, without waiting for clients. */
  stop(): Promise<void>;
  /** SIGKILL: what was not on disk is lost. */
  kill(): Promise<void>;
  /** Stops all its processes, so that nothing is answered and no connection closes. */
  freeze(): void;
  thaw(): void;
  /** Ends it and removes its data. */
  close(): Promise<void>;
}

/** Starts a PostgreSQL on a free loopback port; it dies with this process, however that ends. */
export async function startPostgres(): Promise<PostgresServer> {
  const binaries = ensureInstalled('postgresql', findBinaries);
  const directory = mkdtempSync(join(tmpdir(), 'postgres-'));
  let postmaster: ChildProcess | undefined;
  const remove = (): void => {
    postmaster?.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  };
  process.once('exit', remove);
  const data = join(directory, 'data');
  const account = ownerOf(directory, data);
  const port = await freePort();
  execFileSync(
    'setpriv',
    [...account, join(binaries, 'initdb'), '-D', data, '-U', 'postgres', ...initialSettings],
    { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const logFile = join(directory, 'log');

  const server: PostgresServer = {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,

    async start() {
      const log = openSync(logFile, 'a');
      const settings = [`port=${port}`, `unix_socket_directories=${directory}`, ...serverSettings];
      const started = spawn(
        'setpriv',
        // Also when this process is killed, when no handler of its own runs.
        [
          ...account,
          '--pdeathsig',
          'KILL',
          join(binaries, 'postgres'),
          '-D',
          data,
          ...settings.flatMap((setting) => ['-c', setting]),
        ],
        { cwd: directory, stdio: ['ignore', log, log] },
      );
      closeSync(log);
      postmaster = started;
      await until(() => started.exitCode !== null || isReady(data, started.pid), 'PostgreSQL to start');
      if (started.exitCode !== null) throw new Error(`PostgreSQL ended: ${readFileSync(logFile, 'utf8')}`);
    },

    stop: () => end('SIGINT'),
    kill: () => end('SIGKILL'),
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),

    async close() {
      if (postmaster) await server.kill();
      process.off('exit', remove);
      remove();
    },
  };

  function family(): number[] {
    const pid = postmaster?.pid;
    return pid === undefined ? [] : [pid, ...childrenOf(pid)];
  }

  function signal(name: NodeJS.Signals): void {
    for (const pid of family()) process.kill(pid, name);
  }

  async function end(name: 'SIGINT' | 'SIGKILL'): Promise<void> {
    // One that is killed starts no more children while they are looked up.
    if (name === 'SIGKILL') postmaster?.kill('SIGSTOP');
    const all = family();
    postmaster?.kill(name);
    postmaster = undefined;
    // Its children see that it is gone, and must be gone themselves before it may start again.
    for (const pid of all) resume(pid);
    await gone(all);
  }

  await server.start();
  return server;
}

function resume(pid: number): void {
  try {
    process.kill(pid, 'SIGCONT');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

const initialSettings = ['-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'];
const serverSettings = ['listen_addresses=127.0.0.1', 'fsync=on', 'shared_buffers=32MB'];

/** The directory of the newest installed version's programs. */
function findBinaries(): string | undefined {
  const versions = '/usr/lib/postgresql';
  if (!existsSync(versions)) return undefined;
  return readdirSync(versions)
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => join(versions, version, 'bin'))
    .find((binaries) => existsSync(join(binaries, 'initdb')) && existsSync(join(binaries, 'postgres')));
}

/** PostgreSQL refuses root: its account then is the one of the package. Returns setpriv's arguments. */
function ownerOf(directory: string, data: string): string[] {
  mkdirSync(data, { mode: 0o700 });
  if (process.getuid?.() !== 0) return [];
  const id = (kind: '-u' | '-g'): number =>
    Number(execFileSync('id', [kind, 'postgres'], { encoding: 'utf8' }));
  const [user, group] = [id('-u'), id('-g')];
  chmodSync(directory, 0o755);
  for (const path of [directory, data]) chownSync(path, user, group);
  return [`--reuid=${user}`, `--regid=${group}`, '--clear-groups'];
}

/** As pg_ctl sees it: the eighth line of the file with the process id. */
function isReady(data: string, pid: number | undefined): boolean {
  try {
    const lines = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n');
    return Number(lines[0]) === pid && lines[7]?.trim() === 'ready';
  } catch {
    return false;
  }
}
