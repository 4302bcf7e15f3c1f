import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Which of some processes of this machine has the other end of a TCP connection over IPv4 (Linux, proc(5)). */
export function workerOf(pids: readonly number[], callersPort: number): number | undefined {
  const port = callersPort.toString(16).toUpperCase().padStart(4, '0');
  const rows = readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1);
  const fields = rows
    .map((row) => row.trim().split(/\s+/))
    .find(([, , remote]) => remote?.endsWith(`:${port}`));
  const inode = fields?.[9];
  return pids.find((pid) => inode !== undefined && hasSocket(pid, `socket:[${inode}]`));
}

function hasSocket(pid: number, socket: string): boolean {
  const directory = `/proc/${pid}/fd`;
  return readdirSync(directory).some((descriptor) => {
    try {
      return readlinkSync(`${directory}/${descriptor}`) === socket;
    } catch {
      return false; // closed meanwhile
    }
  });
}
