import { StringDecoder } from 'node:string_decoder';
import { createParser } from 'eventsource-parser';
import { Envelope } from './envelope.js';
import { streamError } from './errors.js';
import type { MessageSize } from './message-size.js';
import { parseObject } from './parse-object.js';
import { BORDER, unreadAfter } from './unread.js';
import type { Delta, Message, Read, Wire } from './wire.js';

/** An answer as server-sent events. */
export class EventStream implements Wire {
  done = false;
  fault: string | undefined;
  unread = 0;
  // Several times faster than a TextDecoder with `stream`; both replace what is malformed.
  readonly #decoder = new StringDecoder('utf8');
  readonly #envelope: Envelope<Delta>;
  readonly #read: Read;
  readonly #onDelta: (delta: Delta) => void;
  #tail: Uint8Array = Buffer.alloc(0);
  /** Of the event that is not complete, at least. */
  #lines = 0;
  /** With fields that no such stream has. */
  #oddLines = 0;
  #afterCr = false;
  #ending = false;
  /** Nothing of an event has been read that is not complete. */
  #between = true;
  readonly #parser;

  constructor(
    read: Read,
    readonly size: MessageSize,
    onDelta: (delta: Delta) => void,
  ) {
    this.#read = read;
    this.#onDelta = onDelta;
    this.#envelope = new Envelope((data) => {
      const message = parseObject(data, size);
      return message && read(message);
    });
    this.#parser = createParser({
      onError: () => {
        if (++this.#oddLines > MOST_ODD_LINES)
          this.fault = `more than ${MOST_ODD_LINES} lines of the stream are no server-sent events`;
      },
      onEvent: ({ data, event }) => {
        if (this.#isOver()) return;
        const message = parseObject(data, size);
        if (message !== undefined) this.#take(message, data, event);
        else for (const line of linesOf(data)) this.#takeLine(line, event);
      },
    });
  }

  #take(message: Message, data: string, event: string | undefined): void {
    const isError = event === 'error' && message.error === undefined;
    const delta = this.#read(isError ? { error: message } : message);
    if (event === undefined) this.#envelope.learn(data, delta);
    this.#onDelta(delta);
  }

  /** Of data that is not one JSON object: the end, or messages between which a server has left out the blank lines. */
  #takeLine(line: string, event: string | undefined): void {
    if (this.#isOver()) return;
    if (DONE.test(line)) {
      this.done = true;
      return;
    }
    const message = parseObject(line, this.size);
    if (message !== undefined) this.#take(message, line, event);
    else if (event === 'error') this.#onDelta({ error: streamError(line) });
    // An event that the end of the body cut is a broken stream, and not what the gateway meant to say.
    else if (!isHeartbeat(event, line) && !this.#ending)
      this.fault = 'an event of the stream is not a JSON object';
  }

  push(chunk: Uint8Array): void {
    const unread = unreadAfter(this.#tail, this.unread, chunk);
    const isOpen = unread === this.unread + chunk.length;
    this.unread = unread;
    this.#tail = Buffer.concat([this.#tail, chunk.subarray(-BORDER)]).subarray(-BORDER);
    const text = this.#withLineFeeds(this.#decoder.write(chunk));
    this.#lines = isOpen ? this.#lines + linesIn(text) : 0;
    // Each costs the parser many times what it costs a gateway to send.
    if (this.#lines > MOST_LINES) this.fault = `an event of the stream has more than ${MOST_LINES} lines`;
    this.#feed(text);
  }

  end(): void {
    // Some servers leave out the last blank line.
    this.#ending = true;
    this.#parser.feed(`${this.#withLineFeeds(this.#decoder.end())}\n\n`);
  }

  /** Event by event, so that those which are alike pass the parser by (bench: execute). */
  #feed(text: string): void {
    for (let at = 0; at < text.length && !this.#isOver(); ) {
      if (this.#between) {
        const { delta, end } = this.#envelope.open(text, at);
        if (delta !== undefined) this.#onDelta(delta);
        at = end;
      }
      const blank = this.#envelope.hopeful ? text.indexOf('\n\n', at) : -1;
      const whole = blank < 0 ? text.length : blank + 2;
      const end = Math.min(whole, at + FED_CHARACTERS);
      if (end > at) this.#parser.feed(text.slice(at, end));
      this.#between = blank >= 0 && end === whole;
      at = end;
    }
  }

  /** The parser looks for both kinds of line ends to the end of its text with each line that has another one. */
  #withLineFeeds(text: string): string {
    const lines = this.#afterCr && text.startsWith('\n') ? text.slice(1) : text;
    if (text !== '') this.#afterCr = text.endsWith('\r');
    return lines.includes('\r') ? lines.replace(/\r\n?/g, '\n') : lines;
  }

  #isOver(): boolean {
    return this.done || this.fault !== undefined;
  }
}

/** The lines of data that was no message, without a `data:` of their own: some servers frame what is framed already. */
function linesOf(data: string): string[] {
  if (!data.includes('\n') && !data.startsWith('data:')) return [data.trim()];
  const lines = data.split('\n').map((line) => line.replace(/^\s*(?:data:\s*)*/, '').trim());
  return lines.filter((line) => line !== '');
}

function linesIn(text: string): number {
  let lines = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines++;
  return lines;
}

const MOST_LINES = 100_000;
// The parser makes an error of each.
const MOST_ODD_LINES = 10_000;
// So that a fault ends the reading of a large part soon.
const FED_CHARACTERS = 16_384;
const DONE = /^"?\[?DONE\]?"?$/i;

/** Some servers keep a connection open with events that say nothing, in place of comments. */
function isHeartbeat(event: string | undefined, data: string): boolean {
  return data === '' || (event !== undefined && event !== 'message' && event !== 'error');
}
