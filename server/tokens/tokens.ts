import { timingSafeEqual } from 'node:crypto';
import type { TokenEntry } from '../../contracts/tokens.js';
import type { Log } from '../log.js';
import { pollFile } from '../polled-file.js';
import { digestOf, readTokenFile } from './token-file.js';

/** The tokens that callers may present, as they are now. */
export interface Tokens {
  /** Whose token it is; undefined when it is nobody's, or has expired. */
  holderOf(token: string): TokenEntry | undefined;
  close(): void;
}

/**
 * Reads the file of the tokens, and reads it again when it changes. A file that became broken is not taken: the
 * tokens before stay, and the log says why.
 * @throws {Error} when the file is missing or broken at start.
 */
export function openTokens(file: string, log: Log): Tokens {
  let known = digestsOf(file);
  const reread = () => {
    known = digestsOf(file);
    log.info({ event: 'tokens_reloaded', tokens: known.map(({ entry }) => entry.name) });
  };
  const polled = pollFile(file, reread, ({ message }) =>
    log.error({ event: 'tokens_broken', error: message }),
  );
  return {
    holderOf: (token) => {
      const digest = digestOf(token);
      let holder: TokenEntry | undefined;
      // All of them, whichever it is: the time tells nothing of how many there are before it.
      for (const each of known) if (timingSafeEqual(each.digest, digest)) holder = each.entry;
      const expired = holder?.expires_at !== undefined && Date.parse(holder.expires_at) <= Date.now();
      return expired ? undefined : holder;
    },
    close: () => polled.close(),
  };
}

function digestsOf(file: string): readonly { readonly digest: Buffer; readonly entry: TokenEntry }[] {
  return readTokenFile(file).tokens.map((entry) => ({ digest: Buffer.from(entry.sha256, 'hex'), entry }));
}
