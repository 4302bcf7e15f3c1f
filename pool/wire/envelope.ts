/** What one message brings, as far as an envelope needs to know it. */
interface TextDelta {
  content?: string;
}

/**
 * A server wraps each piece of text in the same JSON. Once one such message was parsed, the next one that differs
 * in nothing but the text needs no parse of its own: what lies between is a JSON string, and nothing else.
 */
export class Envelope<D extends TextDelta> {
  readonly #read: (data: string) => D | undefined;
  #before = '';
  #after = '';
  #delta: D | undefined;
  /** How often it was learnt and never met again; a server that puts noise into each message has no envelope. */
  #disappointments = 0;

  /** @param read parses a message in full; undefined when it cannot be. */
  constructor(read: (data: string) => D | undefined) {
    this.#read = read;
  }

  /** False when the messages of this stream have turned out to be all different. */
  get hopeful(): boolean {
    return this.#disappointments < MOST_DISAPPOINTMENTS;
  }

  /**
   * Reads the events of a stream, from `from` on, that are in the envelope: what they bring together, and where the first
   * one begins that must be parsed.
   */
  open(stream: string, from: number): { readonly delta: D | undefined; readonly end: number } {
    const delta = this.#delta;
    if (delta === undefined) return { delta, end: from };
    let content = '';
    let at = from;
    let end = stream.indexOf(BLANK, at);
    for (; end >= 0; end = stream.indexOf(BLANK, at)) {
      const message = dataAt(stream, at);
      const text = this.#textIn(stream, message, end);
      if (text === undefined || text === '') break;
      content += text;
      at = end + BLANK.length;
    }
    if (end >= 0) this.#delta = undefined;
    if (at === from) return { delta: undefined, end: at };
    this.#disappointments = 0;
    return { delta: { ...delta, content }, end: at };
  }

  /** The text of the message from `from` to `to`; undefined when it is not in the envelope. */
  #textIn(stream: string, from: number, to: number): string | undefined {
    const begin = from + this.#before.length;
    const end = to - this.#after.length;
    // Slices that are compared take less time than startsWith() and indexOf() (bench: execute).
    if (from < 0 || begin > end || stream.slice(from, begin) !== this.#before) return undefined;
    return stream.slice(end, to) === this.#after ? unquoted(stream.slice(begin, end)) : undefined;
  }

  /** Remembers what surrounds the text of a message that was parsed. */
  learn(data: string, delta: D): void {
    if (this.#delta !== undefined || !this.hopeful || !bringsText(delta)) return;
    this.#disappointments++;
    const json = JSON.stringify(delta.content);
    let at = data.indexOf(json);
    for (let tries = 0; at >= 0 && tries < MOST_PLACES; tries++) {
      const before = data.slice(0, at + 1);
      const after = data.slice(at + json.length - 1);
      // Another text in the same place must show as the content, and as nothing else.
      const probe = this.#read(before + PROBE + after);
      if (probe !== undefined && bringsText(probe) && probe.content === PROBE) {
        this.#before = before;
        this.#after = after;
        this.#delta = delta;
        return;
      }
      at = data.indexOf(json, at + 1);
    }
  }
}

/** Where the data of an event begins, or -1. The space behind the colon is not part of it (WHATWG HTML, 9.2.6). */
function dataAt(stream: string, at: number): number {
  if (!stream.startsWith('data:', at)) return -1;
  return stream.charCodeAt(at + 5) === SPACE ? at + 6 : at + 5;
}

function bringsText(delta: TextDelta): boolean {
  if (delta.content === undefined) return false;
  for (const name in delta) if (name !== 'content' && name !== 'model') return false;
  return true;
}

/** The text of a JSON string without its quotes; undefined when it is none. */
function unquoted(json: string): string | undefined {
  if (!NEEDS_PARSE.test(json)) return json;
  try {
    return JSON.parse(`"${json}"`) as string;
  } catch {
    return undefined;
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they may not stand in a JSON string
const NEEDS_PARSE = /["\\\u0000-\u001f]/;
const BLANK = '\n\n';
const SPACE = 0x20;
const PROBE = 'another text';
const MOST_DISAPPOINTMENTS = 4;
const MOST_PLACES = 3;
