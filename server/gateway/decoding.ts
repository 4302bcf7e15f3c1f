import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';

/** Undoes the coding of a body that was not asked for, as some proxies send it; undefined where there is none. */
export function decoderOf(contentEncoding: string | string[] | undefined) {
  switch (String(contentEncoding).toLowerCase()) {
    case 'gzip':
    case 'x-gzip':
      return createGunzip();
    case 'deflate':
      return createInflate();
    case 'br':
      return createBrotliDecompress();
    default:
      return undefined;
  }
}
