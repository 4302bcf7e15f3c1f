import { unwatchFile, watchFile } from 'node:fs';

/** Calls when a file has changed; what `changed` throws is given to `broken`, and what holds goes on to hold. */
export function pollFile(
  file: string,
  changed: () => void,
  broken: (error: Error) => void,
): { close(): void } {
  const listener = () => {
    try {
      changed();
    } catch (error) {
      broken(error as Error);
    }
  };
  watchFile(file, { interval: POLL_MS, persistent: false }, listener);
  return { close: () => unwatchFile(file, listener) };
}

// Polled, because change notifications do not reach all mounts (network folders, ConfigMaps and Secrets).
const POLL_MS = 500;
