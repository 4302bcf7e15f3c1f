/** How much is generated: 1 in the tests, more by `npm run fuzz`. */
export const effort = Number(process.env.FUZZ_EFFORT ?? 1);

/** Different at each fuzz, the same in the tests; printed with what it found. */
export const seed = effort === 1 ? 1 : Math.floor(Math.random() * 2 ** 31);

/** The schema with texts and lists short enough to generate hundreds. */
export function withinReason(schema: unknown): unknown {
  return JSON.parse(JSON.stringify(schema), (key, value) => {
    if (key === 'maxLength') return Math.min(value, 64);
    return key === 'maxItems' ? Math.min(value, 4) : value;
  });
}
