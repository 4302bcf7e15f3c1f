/** Rounded to two decimals. */
export function median(values: readonly number[]): number {
  return Math.round(values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]! * 100) / 100;
}

/** (max − min) / median, in percent. */
export function spread(values: readonly number[]): string {
  return `${Math.round(((Math.max(...values) - Math.min(...values)) / median(values)) * 100)} %`;
}
