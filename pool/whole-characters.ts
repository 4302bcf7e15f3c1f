/**
 * Puts characters together again that a server has cut between two messages, inside of a surrogate pair. Half of a
 * pair that stays alone becomes U+FFFD, which is what it becomes as UTF-8.
 */
export class WholeCharacters {
  #half = '';

  /** Takes the next part; returns what is whole. */
  push(part: string): string {
    const text = this.#half + part;
    const isCut = (text.charCodeAt(text.length - 1) & 0xfc00) === 0xd800;
    this.#half = isCut ? text.slice(-1) : '';
    return (isCut ? text.slice(0, -1) : text).toWellFormed();
  }

  /** The text is over: what is left of it. */
  end(): string {
    const rest = this.#half.toWellFormed();
    this.#half = '';
    return rest;
  }
}
