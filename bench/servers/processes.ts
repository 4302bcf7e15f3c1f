import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort as freePortOf } from '../../server/cluster/free-port.js';

/** The processes that a process has started and that are alive. Linux only. */
export function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => statusOf(pid)?.parent === parent);
}

/**
 * Waits until none of the processes is alive; a zombie is not.
 * @throws Error when one is after so many milliseconds.
 */
export async function gone(pids: readonly number[], limitMs = 30_000): Promise<void> {
  await until(
    () => pids.every((pid) => statusOf(pid) === undefined),
    `the processes ${pids} to end`,
    limitMs,
  );
}

/** @throws Error when it does not come true within so many milliseconds. */
export async function until(condition: () => boolean, what: string, limitMs = 30_000): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited ${limitMs / 1000} s in vain for ${what}`);
    await sleep(10);
  }
}

/** A loopback port that is free, and that no other process is given by this while the present one lives. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = await freePortOf('127.0.0.1', 0);
    if (claim(port)) return port;
  }
}

/** A server listens seconds after its port was chosen: until then only a file says that it is taken. */
function claim(port: number): boolean {
  mkdirSync(claims, { recursive: true });
  const file = join(claims, String(port));
  try {
    if (!isAlive(Number(readFileSync(file, 'utf8')))) rmSync(file, { force: true });
  } catch {
    // Nobody has it.
  }
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' });
  } catch {
    return false;
  }
  if (claimed.length === 0)
    process.once('exit', () => {
      for (const each of claimed) rmSync(each, { force: true });
    });
  claimed.push(file);
  return true;
}

const claimed: string[] = [];
const claims = join(tmpdir(), 'worker-service-ports');

function isAlive(pid: number): boolean {
  // One whose pid is not written yet.
  return pid === 0 || statusOf(pid) !== undefined;
}

function statusOf(pid: number): { readonly parent: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in parentheses may hold anything.
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' || state === 'X' ? undefined : { parent: Number(parent) };
  } catch {
    return undefined;
  }
}
