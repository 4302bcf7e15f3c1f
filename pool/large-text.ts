import type { LargeText } from '../contracts/threads.js';

/** Puts a text that is large into shared memory. */
export function packText(text: string): LargeText {
  if (text.length <= LARGE_CHARACTERS) return text;
  const bytes = new TextEncoder().encode(text);
  const shared = new SharedArrayBuffer(bytes.length);
  new Uint8Array(shared).set(bytes);
  return shared;
}

export function unpackText(text: LargeText): string {
  if (typeof text === 'string') return text;
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(new Uint8Array(text).slice()); // it reads no shared memory
}

export function sizeOfText(text: LargeText | undefined): number {
  return text === undefined ? 0 : typeof text === 'string' ? text.length : text.byteLength;
}

const LARGE_CHARACTERS = 16_384;
