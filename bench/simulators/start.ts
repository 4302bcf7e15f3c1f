import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { builtFile } from '../../config/package-root.js';
import type { Listening, SimulatorKnobs } from './main.js';

export interface SimulatorOptions {
  readonly kinds: readonly SimulatorKind[];
  readonly knobs?: SimulatorKnobs;
  /** Folder of the retriever's documents. @default docs/examples */
  readonly documents?: string;
  /** Port of the gateway. @default 0, a free one */
  readonly port?: number;
  /** Port of the retriever. @default 0, a free one */
  readonly ragPort?: number;
}

export type SimulatorKind = 'gateway' | 'rag';

export interface RunningSimulators {
  /** Base URL with `/api/v1`; present when asked for. */
  readonly gatewayUrl?: string;
  readonly ragUrl?: string;
  readonly pid: number;
  /** Ends the process and waits for its end; may be called again. */
  close(): Promise<void>;
  /** Resolves when the process has ended, whoever ended it. */
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

/**
 * Starts the simulators in a process of their own, which ends with this one.
 * @throws {Error} when they do not listen within 10 s, with what they said on stderr.
 */
export async function startSimulators(options: SimulatorOptions): Promise<RunningSimulators> {
  const child = fork(fileURLToPath(builtFile('bench/simulators/main.js')), argumentsOf(options), {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const exited: RunningSimulators['exited'] = new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  const listening = await firstMessage(child);
  return {
    ...(listening.gateway !== undefined && { gatewayUrl: listening.gateway }),
    ...(listening.rag !== undefined && { ragUrl: listening.rag }),
    pid: child.pid!,
    close: async () => {
      if (!child.killed) child.kill('SIGTERM');
      await exited;
    },
    exited,
  };
}

function argumentsOf({ kinds, knobs, documents, port, ragPort }: SimulatorOptions): string[] {
  const kind = kinds.length > 1 ? 'both' : kinds[0];
  if (kind === undefined) throw new Error('startSimulators: kinds is empty');
  return [
    kind,
    ...(port === undefined ? [] : ['--port', String(port)]),
    ...(ragPort === undefined ? [] : ['--rag-port', String(ragPort)]),
    ...(documents === undefined ? [] : ['--documents', documents]),
    ...(knobs === undefined ? [] : ['--knobs', JSON.stringify(knobs)]),
  ];
}

const startLimitMs = 10_000;
const stderrKept = 4096;

function firstMessage(child: ChildProcess): Promise<Listening> {
  let said = '';
  // Read to the end of its life: a full pipe would block it.
  child.stderr?.on('data', (bytes: Buffer) => {
    said = (said + bytes.toString()).slice(-stderrKept);
  });
  return new Promise((resolve, reject) => {
    const fail = (reason: string) => {
      clearTimeout(limit);
      child.kill('SIGKILL');
      reject(new Error(`The simulators did not start: ${reason}${said === '' ? '' : `\n${said.trim()}`}`));
    };
    const limit = setTimeout(
      () => fail(`they were not listening after ${startLimitMs / 1000} s`),
      startLimitMs,
    );
    child.once('error', (error) => fail(error.message));
    // Unlike exit, close comes after the last of stderr.
    const ended = (code: number | null, signal: string | null) =>
      fail(`the process ended with ${signal ?? `code ${code}`}`);
    child.once('close', ended);
    child.once('message', (message) => {
      clearTimeout(limit);
      child.off('close', ended);
      resolve(message as Listening);
    });
  });
}
