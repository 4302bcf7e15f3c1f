import { inspect } from 'node:util';

/** Says what a test has seen; the runner shows it also when the test passes. */
export function tell(...parts: unknown[]): void {
  const texts = parts.map((part) =>
    typeof part === 'string' ? part : inspect(part, { breakLength: Number.POSITIVE_INFINITY }),
  );
  // uvu's row of dots stands on the same line.
  console.log(`\n${TOLD}${texts.join(' ')}`);
}

export const TOLD = '» ';
