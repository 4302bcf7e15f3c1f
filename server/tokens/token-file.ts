import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { type TokenEntry, type TokenFile, tokenFileValidator } from '../../contracts/tokens.js';

/**
 * Reads the file of the tokens.
 * @throws {Error} that says where the file is wrong.
 */
export function readTokenFile(file: string): TokenFile {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    // The message of a SyntaxError repeats a part of the file.
    const reason = error instanceof SyntaxError ? 'is not JSON' : (error as Error).message;
    throw new Error(`the file of tokens ${file}: ${reason}`);
  }
  if (!tokenFileValidator.check(value)) {
    const { path, message } = tokenFileValidator.violations(value)[0]!;
    throw new Error(`the file of tokens ${file}: ${path || 'the document'} ${message}`);
  }
  const names = value.tokens.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined)
    throw new Error(`the file of tokens ${file}: the name ${twice} stands there twice`);
  return value;
}

/**
 * Makes a token and writes its hash into the file, which is made when it is not there (mode 0600). Returns the
 * token, which nobody can read again.
 * @throws {Error} when the file is wrong, or has the name already.
 */
export function addToken(file: string, entry: Omit<TokenEntry, 'sha256'>): string {
  const { tokens } = existsSync(file) ? readTokenFile(file) : { tokens: [] };
  const token = `ws_${randomBytes(32).toString('base64url')}`;
  write(file, { tokens: [...tokens, { ...entry, sha256: digestOf(token).toString('hex') }] });
  return token;
}

/**
 * Takes a token out of the file.
 * @throws {Error} when the file is wrong, or has no such name.
 */
export function revokeToken(file: string, name: string): void {
  const { tokens } = readTokenFile(file);
  const left = tokens.filter((token) => token.name !== name);
  if (left.length === tokens.length) throw new Error(`there is no token ${name} in ${file}`);
  write(file, { tokens: left });
}

export function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** At once or not at all: a service that watches the file never sees half of it. */
function write(file: string, content: TokenFile): void {
  if (!tokenFileValidator.check(content)) {
    const { path, message } = tokenFileValidator.violations(content)[0]!;
    throw new Error(`${path} ${message}`);
  }
  const names = new Set(content.tokens.map(({ name }) => name));
  if (names.size < content.tokens.length) throw new Error(`there is a token of this name in ${file} already`);
  const next = `${file}.next`;
  writeFileSync(next, `${JSON.stringify(content, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(next, file);
}
