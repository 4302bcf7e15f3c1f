import { readError } from '../../contracts/gateway-errors.js';
import type { MessageSize } from './message-size.js';
import { parseObject } from './parse-object.js';
import type { Delta, Message, Read, Wire } from './wire.js';

/** An answer that comes whole. */
export class JsonDocument implements Wire {
  done = false;
  fault: string | undefined;
  unread = 0;
  readonly #parts: Uint8Array[] = [];

  constructor(
    readonly read: Read,
    readonly isAnswer: (message: Message) => boolean,
    readonly size: MessageSize,
    readonly onDelta: (delta: Delta) => void,
  ) {}

  push(chunk: Uint8Array): void {
    this.#parts.push(chunk);
    this.unread += chunk.length;
  }

  end(): void {
    const message = parseObject(new TextDecoder().decode(Buffer.concat(this.#parts)), this.size);
    if (message === undefined) {
      this.fault = 'the body is not a JSON object';
      return;
    }
    const delta = this.read(message);
    if (delta.error === undefined && !this.isAnswer(message)) {
      const { message: said } = readError(message);
      this.fault = `the body is not an answer of this protocol${said === '' ? '' : `: ${said}`}`;
      return;
    }
    this.done = delta.error === undefined;
    this.onDelta(delta);
  }
}
