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

  /** What a message brings, without a parse; undefined when it must be parsed. */
  open(data: string): D | undefined {
    if (this.#delta === undefined) return undefined;
    const text =
      data.length >= this.#before.length + this.#after.length &&
      data.startsWith(this.#before) &&
      data.endsWith(this.#after)
        ? unquoted(data.slice(this.#before.length, data.length - this.#after.length))
        : undefined;
    if (text === undefined || text === '') {
      this.#delta = undefined;
      return undefined;
    }
    this.#disappointments = 0;
    return { ...this.#delta, content: text };
  }

  /** Remembers what surrounds the text of a message that was parsed. */
  learn(data: string, delta: D): void {
    if (this.#disappointments >= MOST_DISAPPOINTMENTS || !bringsText(delta)) return;
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
const PROBE = 'another text';
const MOST_DISAPPOINTMENTS = 4;
const MOST_PLACES = 3;
