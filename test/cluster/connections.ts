import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/**
 * Which of some processes of this machine has the other end of a TCP connection over IPv4 (Linux, proc(5)).
 * @param port that they listen on.
 */
export function workerOf(pids: readonly number[], port: number, callersPort: number): number | undefined {
  const [here, there] = [port, callersPort].map(ending);
  const rows = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((row) => row.trim().split(/\s+/));
  const fields = rows.find(([, local, remote]) => local?.endsWith(here!) && remote?.endsWith(there!));
  const inode = fields?.[9];
  return pids.find((pid) => inode !== undefined && hasSocket(pid, `socket:[${inode}]`));
}

function ending(port: number): string {
  return `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
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
