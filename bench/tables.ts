import type { Comparison } from './compare.js';
import { aimText, type SuiteResult } from './result.js';

/** The one table of a run, as text. */
export function resultTable(result: SuiteResult): string {
  const rows = result.scenarios.flatMap(({ name, metrics, error }) => [
    ...metrics.map((metric) => [
      name,
      metric.name,
      `${shown(metric.value)} ${metric.unit}`,
      spreadText(metric.value, metric.spread),
      aimText(metric.aim),
      metric.met ?? '',
    ]),
    ...(error === undefined ? [] : [[name, 'FAILED', error.split('\n')[0]!.slice(0, 60), '', '', 'no']]),
  ]);
  return table([['scenario', 'metric', 'value', 'spread', 'aim', 'met?'], ...rows]);
}

/** What changed, and nothing that did not. */
export function comparisonTable({ changes, onlyBefore, onlyAfter, warnings }: Comparison): string {
  const moved = changes.filter(({ verdict }) => verdict !== 'same' && verdict !== 'undecided');
  const count = (verdict: string) => changes.filter((change) => change.verdict === verdict).length;
  const rows = moved.map((change) => [
    change.scenario,
    change.metric,
    `${shown(change.before)} ${change.unit}`,
    `${shown(change.after)} ${change.unit}`,
    `± ${shown(change.noise)}`,
    change.verdict,
  ]);
  return [
    ...warnings.map((warning) => `Not quite comparable: ${warning}`),
    ...(rows.length === 0
      ? ['Nothing changed beyond the noise.']
      : [table([['scenario', 'metric', 'before', 'after', 'noise', 'verdict'], ...rows])]),
    `${count('same')} within the noise, ${count('undecided')} with too few rounds to tell.`,
    ...(onlyBefore.length > 0 ? [`Only before: ${onlyBefore.join('; ')}`] : []),
    ...(onlyAfter.length > 0 ? [`Only after: ${onlyAfter.join('; ')}`] : []),
  ].join('\n');
}

/** The share of the value, in percent. */
export function spreadText(value: number, spread: number): string {
  if (!Number.isFinite(spread) || spread === 0) return '0 %';
  return value === 0 ? `± ${shown(spread)}` : `${Math.round((spread / Math.abs(value)) * 100)} %`;
}

export function shown(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return '–';
  return value.toLocaleString('en', { maximumSignificantDigits: 4, useGrouping: false });
}

/** The first row is the head. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join('  '));
  return [lines[0]!, widths.map((width) => '─'.repeat(width)).join('  '), ...lines.slice(1)]
    .map((line) => line.trimEnd())
    .join('\n');
}
