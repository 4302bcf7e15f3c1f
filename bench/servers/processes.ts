import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort as freePortOf } from '../../server/cluster/free-port.js';

/** The processes that a process has started and that are alive. Linux only. */
export function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => statusOf(pid)?.parent === parent);
}

/** Waits until none of the processes is alive; a zombie is not. */
export async function gone(pids: readonly number[]): Promise<void> {
  await until(() => pids.every((pid) => statusOf(pid) === undefined), `the processes ${pids} to end`);
}

/** @throws Error when it does not come true within 30 s. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited 30 s in vain for ${what}`);
    await sleep(10);
  }
}

/** A loopback port that is free. */
export const freePort = (): Promise<number> => freePortOf('127.0.0.1', 0);

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
