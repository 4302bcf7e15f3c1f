import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmdirSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { childrenOf } from './servers/processes.js';

export interface BenchProcess {
  readonly child: ChildProcess;
  readonly url: string;
  /** CPU time of the process and of its children with all their threads, in microseconds. */
  cpuMicros(): number;
  /** Resident memory of the process alone, in bytes; `anonymous` is without mapped files. */
  memory(): { readonly resident: number; readonly anonymous: number };
  close(): Promise<void>;
}

/**
 * Starts a server of the benchmark as a process of its own and waits for its line with `"event":"listening"`.
 * @throws {Error} when it ends before.
 */
export async function startProcess(
  file: string,
  args: readonly string[],
  env: Record<string, string> = {},
  execArgv: readonly string[] = process.execArgv,
): Promise<BenchProcess> {
  const directory = mkdtempSync(join(tmpdir(), 'worker-service-bench-log-'));
  const path = join(directory, 'stdout');
  // A file, not a pipe: who offers the load must not spend its time on reading a line per task.
  const stdout = openSync(path, 'w');
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, {
    env: { ...process.env, ...env },
    execArgv: [...execArgv],
    stdio: ['ignore', stdout, 'inherit', 'ipc'],
  });
  closeSync(stdout);
  const kill = () => {
    child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  };
  process.once('exit', kill);
  const exited = once(child, 'exit').then(() => process.off('exit', kill));
  // The workers of a node say that they listen as well; the line of all names their number.
  const line =
    Number(env.WORKERS ?? 1) > 1 ? /^.*"event":"listening".*"workers":.*$/m : /^.*"event":"listening".*$/m;
  const port = await listening(child, path, line).finally(() => {
    unlinkSync(path); // the process holds it open; its space is freed with the process
    rmdirSync(directory);
  });
  return {
    child,
    url: `http://127.0.0.1:${port}`,
    cpuMicros: () => [child.pid!, ...childrenOf(child.pid!)].reduce((sum, pid) => sum + cpuMicrosOf(pid), 0),
    memory: () => memoryOf(child.pid!),
    close: async () => {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

async function listening(child: ChildProcess, path: string, line: RegExp): Promise<number> {
  for (;;) {
    const text = readFileSync(path, 'utf8');
    const found = line.exec(text);
    if (found !== null) return (JSON.parse(found[0]) as { port: number }).port;
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`${child.spawnfile} ended before it listened: ${text.slice(-2000)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/**
 * The environment of a service under measurement: the shipped configuration but for what `yaml` says.
 * @param directory becomes the one of its configuration and its data.
 */
export function serviceEnvironment(
  directory: string,
  gatewayUrl: string,
  yaml: string,
  workers = 1,
): Record<string, string> {
  mkdirSync(directory, { recursive: true });
  const file = join(directory, 'config.yaml');
  writeFileSync(file, yaml);
  return {
    CONFIG_FILE: file,
    MODEL_GATEWAY_URL: gatewayUrl,
    RAG_SERVICE_URL: 'http://127.0.0.1:9', // the tasks bring their context
    DATA_DIR: join(directory, 'data'),
    HOST: '127.0.0.1',
    SERVICE_PORT: '0',
    LOG_LEVEL: 'info',
    WORKERS: String(workers),
  };
}

function cpuMicrosOf(pid: number): number {
  // proc(5): the fields after the name in brackets; utime and stime are the 14th and 15th of all.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * MICROS_PER_TICK;
}

function memoryOf(pid: number): { resident: number; anonymous: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const bytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)![1]) * 1024;
  return { resident: bytes('VmRSS'), anonymous: bytes('RssAnon') };
}

const MICROS_PER_TICK = 1e6 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
