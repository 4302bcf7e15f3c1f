import type { ChannelModel } from 'amqplib';

/**
 * amqplib (2.3) reads tables and arrays of headers by recursion: some thousands within one another end the stack, and it
 * closes the connection, each time that the message comes again. What is deeper than any sender needs is left to it as
 * bytes. To be called before the connection is used.
 */
export function boundHeaders({ connection }: ChannelModel): void {
  const reading = connection as unknown as { rest: Buffer; recvFrame: () => unknown };
  const { recvFrame } = reading;
  // Called for each frame, and again whenever more of it has come.
  reading.recvFrame = function (this: typeof reading) {
    cutDeepHeaders(this.rest);
    return recvFrame.call(this);
  };
}

const FRAME_HEADER_BYTES = 7;
const CONTENT_HEADER = 2;
/** So many levels take more: five bytes each. */
const SHALLOW_BYTES = 4096;
const MOST_LEVELS = 100;

/**
 * Where a whole content header frame begins the bytes (AMQP 0-9-1, 4.2.6.1), turns tables and arrays of its headers that
 * are too deep into byte arrays, in place: the three have the same form, a length and as many bytes.
 */
function cutDeepHeaders(bytes: Buffer): void {
  if (bytes.length < FRAME_HEADER_BYTES || bytes[0] !== CONTENT_HEADER) return;
  const size = bytes.readUInt32BE(3);
  if (size < SHALLOW_BYTES || bytes.length < FRAME_HEADER_BYTES + size) return;
  const payload = bytes.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + size);
  // Behind class, weight and the size of the body.
  const flags = payload.readUInt16BE(12);
  let at = 14;
  for (const flag of [CONTENT_TYPE, CONTENT_ENCODING]) if (flags & flag) at += 1 + (payload[at] ?? 0);
  if (flags & HEADERS && at + 4 <= payload.length) cutTable(payload, at);
}

const CONTENT_TYPE = 0x8000;
const CONTENT_ENCODING = 0x4000;
const HEADERS = 0x2000;

function cutTable(payload: Buffer, start: number): void {
  const open = [{ end: start + 4 + payload.readUInt32BE(start), isTable: true }];
  let at = start + 4;
  for (;;) {
    while (open.length > 0 && at >= open.at(-1)!.end) open.pop();
    const inside = open.at(-1);
    // Whatever is no table is for amqplib to complain of.
    if (inside === undefined || at + 1 >= payload.length) return;
    if (inside.isTable) at += 1 + payload[at]!;
    const tag = String.fromCharCode(payload[at] ?? 0);
    const fixed = fixedBytes[tag];
    if (fixed !== undefined) {
      at += 1 + fixed;
      continue;
    }
    if (!'FASx'.includes(tag) || at + 5 > payload.length) return;
    const end = at + 5 + payload.readUInt32BE(at + 1);
    const isNested = tag === 'F' || tag === 'A';
    if (isNested && open.length < MOST_LEVELS) {
      open.push({ end, isTable: tag === 'F' });
      at += 5;
    } else {
      if (isNested) payload[at] = BYTES_TAG;
      at = end;
    }
  }
}

const BYTES_TAG = 'x'.charCodeAt(0);
/** Bytes of the values that have no length of their own, by their tag. */
const fixedBytes: Readonly<Record<string, number>> = {
  b: 1,
  B: 1,
  t: 1,
  s: 2,
  u: 2,
  I: 4,
  i: 4,
  f: 4,
  D: 5,
  d: 8,
  l: 8,
  T: 8,
  V: 0,
};
