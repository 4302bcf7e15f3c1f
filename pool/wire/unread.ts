/** How many bytes of a stream belong to an event that is not complete. `tail`: the last ones before the chunk. */
export function unreadAfter(tail: Uint8Array, unread: number, chunk: Uint8Array): number {
  const blank = lastBlankLine(chunk);
  if (blank >= 0) return chunk.length - blank;
  // A blank line may be cut in two.
  const border = Buffer.concat([tail, chunk.subarray(0, BORDER)]);
  const cut = lastBlankLine(border);
  return cut < 0 ? unread + chunk.length : chunk.length + tail.length - cut;
}

/** The bytes of a blank line, but for one. */
export const BORDER = 3;

/** Where the bytes after the last blank line begin, or -1. */
function lastBlankLine(chunk: Uint8Array): number {
  for (let at = chunk.length - 1; at > 0; at--) {
    if (!isLineEnd(chunk[at])) continue;
    const isCrLf = chunk[at] === LF && chunk[at - 1] === CR;
    if (isLineEnd(chunk[isCrLf ? at - 2 : at - 1])) return at + 1;
  }
  return -1;
}

function isLineEnd(byte: number | undefined): boolean {
  return byte === LF || byte === CR;
}

const LF = 0x0a;
const CR = 0x0d;
