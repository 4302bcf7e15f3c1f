import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * Resolves right after a turn of the event loop so short that hardly anything can have come since it looked at the
 * sockets; after many long ones, all the same.
 * @param now milliseconds of a clock that never goes back.
 */
export async function afterShortTurn(now: () => number = () => performance.now()): Promise<void> {
  await nextTurn();
  for (let turn = 1; turn < MOST_TURNS; turn++) {
    const since = now();
    await nextTurn();
    if (now() - since < SHORT_MS) return;
  }
}

const SHORT_MS = 0.2;
const MOST_TURNS = 200;
