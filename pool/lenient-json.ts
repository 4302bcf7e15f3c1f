import type { Note } from '../contracts/outcome.js';
import { escapeControls } from './json-string.js';

/**
 * Parses JSON whose texts UTF-8 can hold; where it is not quite JSON but has one possible reading (a comma before a
 * closing bracket, a line break inside a string), reads it so and says what was corrected. Returns undefined otherwise.
 */
export function parseLenient(text: string): { readonly value: unknown; readonly notes: Note[] } | undefined {
  const encodable = withoutLoneSurrogates(text);
  const notes: Note[] = [];
  if (encodable !== text)
    notes.push({
      code: 'surrogate_replaced',
      message: 'half of a surrogate pair, which no UTF-8 can hold, was replaced by U+FFFD',
    });
  try {
    return { value: JSON.parse(encodable), notes };
  } catch {
    const tidy = tidyJson(encodable);
    if (tidy === encodable) return undefined;
    try {
      return {
        value: JSON.parse(tidy),
        notes: [
          ...notes,
          {
            code: 'json_corrected',
            message: 'trailing commas or unescaped control characters were corrected',
          },
        ],
      };
    } catch {
      return undefined;
    }
  }
}

/** Of a text that is well-formed but for the escapes in it. */
function withoutLoneSurrogates(json: string): string {
  if (!SURROGATE.test(json)) return json;
  return json.replace(ESCAPE, (found, lone?: string) => (lone === undefined ? found : '\\ufffd'));
}

const SURROGATE = /\\u[dD][89a-fA-F]/;
// A pair, a half, or any other escape, a backslash that is escaped among them.
const ESCAPE =
  /\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|[\s\S])/g;

function tidyJson(text: string): string {
  let tidy = '';
  // Strings, and commas that stand right before a closing bracket; all else is kept as it is.
  // A run of characters is one step of the expression, or the stack would end at some 8 MB.
  const pattern = /"[^"\\]*(?:\\[\s\S][^"\\]*)*"|,(?=\s*[}\]])/g;
  let from = 0;
  for (let found = pattern.exec(text); found !== null; found = pattern.exec(text)) {
    const piece = found[0];
    tidy += text.slice(from, found.index);
    if (piece !== ',') tidy += escapeControls(piece);
    from = found.index + piece.length;
  }
  return tidy + text.slice(from);
}
