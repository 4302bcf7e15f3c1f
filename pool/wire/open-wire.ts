import type { Protocol } from '../../contracts/threads.js';
import { chatReader } from './chat-completions.js';
import { EventStream } from './event-stream.js';
import { generateReader } from './generate.js';
import { JsonDocument } from './json-document.js';
import { MessageSize } from './message-size.js';
import type { Delta, Message, Read, Wire } from './wire.js';

/**
 * Reads a gateway's answer: OpenAI chat completions or the sister gateway's `generate`, as server-sent events
 * (WHATWG HTML, 9.2) or as one JSON document.
 * @param maxOutputBytes of the model's output; the messages around it are bounded by that.
 * @param hasBegun whether another reader has had a part of its content.
 */
export function openWire(
  protocol: Protocol,
  maxOutputBytes: number,
  onDelta: (delta: Delta) => void,
  hasBegun = false,
): Wire {
  const size = new MessageSize(maxOutputBytes);
  return protocol === 'generate'
    ? new EitherForm(generateReader(hasBegun), ({ content }) => content !== undefined, size, onDelta)
    : new EitherForm(
        chatReader(hasBegun),
        ({ choices }) => Array.isArray(choices) && choices.length > 0,
        size,
        onDelta,
      );
}

/**
 * Tells the forms apart by the first character, because servers leave the content type out or give a wrong one: no
 * event begins with a brace, and what is blank before an answer has no meaning in either form.
 */
class EitherForm implements Wire {
  #wire: Wire | undefined;
  #isHtml = false;

  constructor(
    readonly read: Read,
    readonly isAnswer: (message: Message) => boolean,
    readonly size: MessageSize,
    readonly onDelta: (delta: Delta) => void,
  ) {}

  get done(): boolean {
    return this.#wire?.done ?? false;
  }

  get unread(): number {
    return this.#wire?.unread ?? 0;
  }

  get fault(): string | undefined {
    if (this.unread > this.size.bytes)
      return `a message of the answer is larger than ${this.size.bytes} bytes`;
    return this.#isHtml ? 'the body is HTML' : this.#wire?.fault;
  }

  push(chunk: Uint8Array): void {
    if (this.fault !== undefined) return;
    if (this.#wire !== undefined) {
      this.#wire.push(chunk);
      return;
    }
    const at = chunk.findIndex((byte) => !BLANK.has(byte));
    if (at < 0) return;
    this.#isHtml = chunk[at] === LESS_THAN;
    this.#wire =
      chunk[at] === OPEN_BRACE
        ? new JsonDocument(this.read, this.isAnswer, this.size, this.onDelta)
        : new EventStream(this.read, this.size, this.onDelta);
    this.#wire.push(chunk.subarray(at));
  }

  end(): void {
    if (this.fault === undefined) this.#wire?.end();
  }
}

const OPEN_BRACE = 0x7b;
const LESS_THAN = 0x3c;

// White space, and the bytes of a byte order mark.
const BLANK = new Set([0x20, 0x09, 0x0a, 0x0d, 0xef, 0xbb, 0xbf]);
