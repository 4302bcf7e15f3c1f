import {
  brotliDecompressSync,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  gunzipSync,
  inflateSync,
} from 'node:zlib';

export type Coding = 'gzip' | 'deflate' | 'br' | 'unknown';

/** The coding of a body that was not asked for, as some proxies send it; undefined where there is none. */
export function codingOf(contentEncoding: string | string[] | undefined): Coding | undefined {
  const names = String(contentEncoding ?? '')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    // Some servers name a character set here.
    .filter((name) => name !== '' && name !== 'identity' && name !== 'none' && !/^utf-?8$/.test(name));
  if (names.length === 0) return undefined;
  return names.length === 1 ? (codings.get(names[0]!) ?? 'unknown') : 'unknown';
}

const codings = new Map<string, Coding>([
  ['gzip', 'gzip'],
  ['x-gzip', 'gzip'],
  ['deflate', 'deflate'],
  ['br', 'br'],
]);

/** Undoes a coding part by part. */
export function decoderOf(coding: Coding | undefined) {
  switch (coding) {
    case 'gzip':
      return createGunzip();
    case 'deflate':
      return createInflate();
    case 'br':
      return createBrotliDecompress();
    default:
      return undefined;
  }
}

/** The body of an error; as it came where its coding is unknown, or it is not what it should be. */
export function decoded(body: Uint8Array, contentEncoding: string | string[] | undefined): Uint8Array {
  const limit = { maxOutputLength: DECODED_BYTES };
  try {
    switch (codingOf(contentEncoding)) {
      case 'gzip':
        return gunzipSync(body, limit);
      case 'deflate':
        return inflateSync(body, limit);
      case 'br':
        return brotliDecompressSync(body, limit);
      default:
        return body;
    }
  } catch {
    return new Uint8Array();
  }
}

const DECODED_BYTES = 262_144;
