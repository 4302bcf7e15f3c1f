/** How large a message may be of an answer whose output may have so many bytes. */
export class MessageSize {
  /** Most characters beside the contents of strings: each may be a value, which takes many times its size once parsed. */
  readonly structure: number;
  /** Room for an output and as much reasoning, and for the escapes of both. */
  readonly bytes: number;

  constructor(maxOutputBytes: number) {
    this.structure = Math.max(LEAST, maxOutputBytes);
    this.bytes = 4 * this.structure;
  }

  /** Whether a text may be parsed: V8 ends the whole process when that takes it far beyond the heap of the thread. */
  bears(text: string): boolean {
    let left = this.structure;
    if (text.length <= left) return true;
    for (let at = 0; at < text.length; at++) {
      if (left-- === 0) return false;
      if (text.charCodeAt(at) === QUOTE) at = endOfString(text, at + 1);
    }
    return true;
  }
}

/** Where a JSON string ends that goes on at `from`. */
function endOfString(text: string, from: number): number {
  let at = from;
  for (; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === BACKSLASH) at++;
    else if (unit === QUOTE) break;
  }
  return at;
}

const LEAST = 262_144;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
