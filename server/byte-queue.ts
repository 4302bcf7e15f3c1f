/**
 * Bytes that wait, as one block. A stream of small chunks would otherwise keep thousands of small objects alive, and
 * the garbage collector would stop the event loop to look after them (bench: loop).
 */
export class ByteQueue {
  #block: Uint8Array = EMPTY;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Takes a chunk; the first one is kept as it is, the others are copied behind it. */
  push(chunk: Uint8Array): void {
    if (this.#length === 0) this.#block = chunk;
    else {
      this.#reserve(this.#length + chunk.length);
      this.#block.set(chunk, this.#length);
    }
    this.#length += chunk.length;
  }

  /** Gives all bytes away; they belong to the caller then. */
  take(): Uint8Array {
    const bytes = this.#block.subarray(0, this.#length);
    this.#block = EMPTY;
    this.#length = 0;
    return bytes;
  }

  #reserve(length: number): void {
    if (length <= this.#block.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, 2 ** Math.ceil(Math.log2(length))));
    larger.set(this.#block.subarray(0, this.#length));
    this.#block = larger;
  }
}

const EMPTY = new Uint8Array(0);
const FIRST_BYTES = 8192;
