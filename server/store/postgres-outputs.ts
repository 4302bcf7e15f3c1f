import { randomUUID } from 'node:crypto';
import type { Run } from './postgres-database.js';

/** To send or to read a part takes the event loop about a millisecond: its hexadecimal text is copied often. */
const partBytes = 64 * 1024;

/** An output whose first part goes with its record. */
export interface SentOutput {
  readonly outputId: string;
  readonly first: Buffer;
  readonly bytes: number;
}

/**
 * Sends all parts but the first one, which most outputs have alone. Not in a transaction with the record: to roll
 * one back on a connection that was lost ends the process (postgres 3.4). What is sent and never recorded is
 * dropped by prune.
 */
export async function sendOutput(run: Run, output: Uint8Array): Promise<SentOutput> {
  const outputId = randomUUID();
  // A part may wait for a connection while the output's owner goes on.
  const copy = Buffer.from(output);
  const sent = { outputId, first: copy.subarray(0, partBytes), bytes: copy.byteLength };
  if (copy.byteLength <= partBytes) return sent;
  await run((sql) => sql`insert into uploads (output_id) values (${outputId})`);
  for (let at = 1; at * partBytes < copy.byteLength; at += 1) {
    const bytes = copy.subarray(at * partBytes, (at + 1) * partBytes);
    await run(
      (sql) => sql`insert into outputs (output_id, part, bytes) values (${outputId}, ${at}, ${bytes})`,
    );
  }
  return sent;
}

/**
 * Reads the parts behind the first one.
 * @returns the output, or undefined when it was pruned meanwhile.
 */
export async function readOutput(run: Run, head: SentOutput): Promise<Buffer | undefined> {
  const { outputId, first, bytes } = head;
  const parts = [first];
  for (let read = first.byteLength; read < bytes; ) {
    const [row] = await run(
      (sql) => sql<{ bytes: Buffer }[]>`
        select bytes from outputs where output_id = ${outputId} and part = ${parts.length}`,
    );
    if (!row) return undefined;
    parts.push(row.bytes);
    read += row.bytes.byteLength;
  }
  return parts.length === 1 ? first : Buffer.concat(parts);
}
