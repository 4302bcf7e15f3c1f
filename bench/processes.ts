import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface BenchProcess {
  readonly child: ChildProcess;
  readonly url: string;
  /** CPU time of the process with all its threads, in microseconds. */
  cpuMicros(): number;
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
): Promise<BenchProcess> {
  const directory = mkdtempSync(join(tmpdir(), 'worker-service-bench-log-'));
  const path = join(directory, 'stdout');
  // A file, not a pipe: who offers the load must not spend its time on reading a line per task.
  const stdout = openSync(path, 'w');
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', stdout, 'inherit', 'ipc'],
  });
  closeSync(stdout);
  const exited = once(child, 'exit');
  const port = await listening(child, path).finally(() => {
    unlinkSync(path); // the process holds it open; its space is freed with the process
    rmdirSync(directory);
  });
  return {
    child,
    url: `http://127.0.0.1:${port}`,
    cpuMicros: () => cpuMicrosOf(child.pid!),
    close: async () => {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

async function listening(child: ChildProcess, path: string): Promise<number> {
  for (;;) {
    const text = readFileSync(path, 'utf8');
    const line = /^.*"event":"listening".*$/m.exec(text);
    if (line !== null) return (JSON.parse(line[0]) as { port: number }).port;
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`${child.spawnfile} ended before it listened: ${text.slice(-2000)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The environment of a service under measurement: the shipped configuration but for what `yaml` says. */
export function serviceEnvironment(
  directory: string,
  gatewayUrl: string,
  yaml: string,
): Record<string, string> {
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
    WORKERS: '1',
  };
}

function cpuMicrosOf(pid: number): number {
  // proc(5): the fields after the name in brackets; utime and stime are the 14th and 15th of all.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * MICROS_PER_TICK;
}

const MICROS_PER_TICK = 1e6 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
