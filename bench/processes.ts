import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
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
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const port = await new Promise<number>((resolve, reject) => {
    let text = '';
    child.stdout!.on('data', (part: Buffer) => {
      text += part.toString();
      const line = /^.*"event":"listening".*$/m.exec(text);
      if (line !== null) resolve((JSON.parse(line[0]) as { port: number }).port);
    });
    void exited.then(() => reject(new Error(`${file} ended before it listened: ${text.slice(-2000)}`)));
  });
  child.stdout!.resume();
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
