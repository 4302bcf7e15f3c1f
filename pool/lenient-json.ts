import type { Note } from '../contracts/outcome.js';
import { escapeControls } from './answer-scanner.js';

/**
 * Parses JSON; where it is not quite JSON but has one possible reading (a comma before a closing bracket,
 * a line break inside a string), reads it so and says what was corrected. Returns undefined otherwise.
 */
export function parseLenient(text: string): { readonly value: unknown; readonly notes: Note[] } | undefined {
  try {
    return { value: JSON.parse(text), notes: [] };
  } catch {
    const tidy = tidyJson(text);
    if (tidy === text) return undefined;
    try {
      return {
        value: JSON.parse(tidy),
        notes: [
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

function tidyJson(text: string): string {
  let tidy = '';
  // Strings, and commas that stand right before a closing bracket; all else is kept as it is.
  const pattern = /"(?:[^"\\]|\\[\s\S])*"|,(?=\s*[}\]])/g;
  let from = 0;
  for (let found = pattern.exec(text); found !== null; found = pattern.exec(text)) {
    const piece = found[0];
    tidy += text.slice(from, found.index);
    if (piece !== ',') tidy += escapeControls(piece);
    from = found.index + piece.length;
  }
  return tidy + text.slice(from);
}
