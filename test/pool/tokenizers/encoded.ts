import { PieceEncoder } from '../../../pool/tokenizers/pieces.js';

/** How many UTF-16 units are encoded during a call, those that are encoded again included. */
export function encodedBy(call: () => void): number {
  const { encode } = PieceEncoder.prototype;
  let units = 0;
  PieceEncoder.prototype.encode = function (text, start, end, ids) {
    units += end - start;
    return encode.call(this, text, start, end, ids);
  };
  try {
    call();
  } finally {
    PieceEncoder.prototype.encode = encode;
  }
  return units;
}
