/** Where the incomplete escape or character begins with which a raw string ends; its length when there is none. */
export function completeUpTo(raw: string): number {
  if ((raw.charCodeAt(raw.length - 1) & 0xfc00) === 0xd800) return raw.length - 1;
  const tailFrom = Math.max(0, raw.length - 12);
  const open = INCOMPLETE_ESCAPE.exec(raw.slice(tailFrom));
  if (open === null || isEscapedBackslash(raw, tailFrom + open.index)) return raw.length;
  return tailFrom + open.index;
}

/** Decodes the inside of a JSON string; control characters that should have been escaped stand for themselves. */
export function decodeString(raw: string): string {
  if (!raw.includes('\\')) return raw;
  try {
    return (JSON.parse(`"${escapeControls(raw)}"`) as string).toWellFormed();
  } catch {
    return raw; // a preview only: the answer is judged as a whole at its end
  }
}

/** Escapes the control characters of a text that stands inside a JSON string. */
export function escapeControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u001f]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Whether the backslash at `at` is itself escaped by an odd run of backslashes before it. */
function isEscapedBackslash(text: string, at: number): boolean {
  let run = 0;
  for (let i = at - 1; i >= 0 && text.charCodeAt(i) === BACKSLASH; i--) run++;
  return run % 2 === 1;
}

// A lone backslash, an unfinished \uXXXX, or the first half of a surrogate pair.
const INCOMPLETE_ESCAPE =
  /\\(?:u[0-9a-fA-F]{0,3}|u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?)?$/;
const BACKSLASH = 0x5c;
