import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/**
 * `one.js FILE`: a test file as a step of a run. No `--import` does this: each thread of the process would load it, too,
 * and Node's loader of ES modules for it.
 */

// Neither the threads nor the processes that it starts are measured, which would double their time.
delete process.env.NODE_V8_COVERAGE;

/** Asked when its time is over. */
process.on('SIGUSR2', () => {
  const { _getActiveHandles: handles } = process as unknown as { _getActiveHandles(): object[] };
  console.log(`still open: ${process.getActiveResourcesInfo().join(', ')}`);
  for (const handle of handles.call(process)) console.log(`  ${described(handle)}`);
});

await import(pathToFileURL(resolve(process.argv[2]!)).href);

function described(handle: object): string {
  const { spawnargs } = handle as Partial<ChildProcess>;
  const { localPort, remotePort } = handle as Partial<Socket>;
  const what = [
    spawnargs?.join(' '),
    localPort === undefined ? undefined : `port ${localPort}`,
    remotePort === undefined ? undefined : `to port ${remotePort}`,
  ];
  return [handle.constructor.name, ...what.filter((each) => each !== undefined)].join(' ');
}
