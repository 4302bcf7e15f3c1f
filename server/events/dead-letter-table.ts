import type { DeadLetter } from './dead-letters.js';

/** Dead letters as a table for a terminal, one a line. */
export function deadLetterTable(letters: readonly DeadLetter[]): string {
  const heads = ['MESSAGE', 'TASK', 'QUEUE', 'REASON', 'ATTEMPTS', 'REPLAYS', 'AGE', 'BYTES', 'DETAIL'];
  const rows = letters.map(({ messageId, taskId, queue, reason, attempts, replays, at, bytes, detail }) =>
    [messageId, taskId, queue, reason, attempts, replays, ageOf(at), bytes, beginningOf(detail)].map(shown),
  );
  const widths = heads.map((head, at) => Math.max(head.length, ...rows.map((row) => row[at]!.length)));
  const line = (cells: readonly string[]) => cells.map((cell, at) => cell.padEnd(widths[at]!)).join('  ');
  return [heads, ...rows].map((row) => line(row).trimEnd()).join('\n');
}

/** What came from outside goes to a terminal without its control characters. */
export function shown(value: string | number | undefined): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are meant
  return value === undefined ? '-' : String(value).replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}

/** What has room behind the rest in a line that is still read; `--json` gives all of it. */
function beginningOf(detail: string | undefined): string | undefined {
  return detail === undefined || detail.length <= 100 ? detail : `${detail.slice(0, 99)}…`;
}

function ageOf(at: number | undefined): string | undefined {
  if (at === undefined) return undefined;
  const seconds = Math.max(0, Math.round((Date.now() - at) / 1000));
  const [unit, size] = units.find(([, size]) => seconds >= size) ?? ['s', 1];
  return `${Math.floor(seconds / size)} ${unit}`;
}

const units = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
] as const;
