/** The beginning of a text that somebody else wrote, without half of a surrogate pair. */
export function excerpt(text: string, mostCharacters: number): string {
  return text.slice(0, mostCharacters).toWellFormed();
}
