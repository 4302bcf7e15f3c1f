import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { Config } from '../../config/schema.js';

/**
 * Makes sure that certificate and key can be used: the HTTP server itself would only say that it failed.
 * @throws {Error} that names the file.
 */
export function requireTls({ tls_cert_file, tls_key_file }: Config['server']): void {
  if (tls_cert_file === undefined || tls_key_file === undefined) return;
  const cert = read('server.tls_cert_file', tls_cert_file);
  const key = read('server.tls_key_file', tls_key_file);
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw new Error(`${tls_cert_file} and ${tls_key_file} cannot be used: ${(error as Error).message}`);
  }
}

function read(field: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Error(`${field}: ${(error as Error).message}`);
  }
}
