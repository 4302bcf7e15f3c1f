/** How comments and strings of a language are written. c: C and C++. */
export type Syntax = 'c' | 'python';

/**
 * The text with its comments and strings blanked, so that a rule sees code only. Places and lines stay.
 * Linear: every character is looked at once.
 */
export function blank(text: string, syntax: Syntax): string {
  const opening = syntax === 'c' ? /["']|\/[/*]/g : /"""|'''|["'#]/g;
  const parts: string[] = [];
  let from = 0;
  for (let open = opening.exec(text); open !== null; open = opening.exec(text)) {
    const end = endOf(text, open.index, open[0]);
    parts.push(text.slice(from, open.index), text.slice(open.index, end).replace(/[^\n]+/g, spaces));
    from = end;
    opening.lastIndex = end;
  }
  parts.push(text.slice(from));
  return parts.join('');
}

function endOf(text: string, start: number, mark: string): number {
  switch (mark) {
    case '//':
    case '#':
      return found(text, '\n', start, 0);
    case '/*':
      return found(text, '*/', start + 2, 2);
    case '"""':
    case "'''":
      return found(text, mark, start + 3, 3);
    default:
      return endOfString(text, start + 1, mark);
  }
}

function found(text: string, mark: string, from: number, length: number): number {
  const at = text.indexOf(mark, from);
  return at < 0 ? text.length : at + length;
}

/** A string that is not closed ends with its line. */
function endOfString(text: string, from: number, quote: string): number {
  for (let at = from; at < text.length; at++) {
    const character = text[at];
    if (character === '\\') at++;
    else if (character === quote) return at + 1;
    else if (character === '\n') return at;
  }
  return text.length;
}

function spaces(text: string): string {
  return ' '.repeat(text.length);
}
