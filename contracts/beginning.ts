/** How much of each list and object of a value tells already that the value is wrong. */
export interface Bounds {
  /** Entries of each list, and unknown fields of each object: more than any list or object of the schema may have. */
  readonly entries: number;
  /** The fields that the schema names, which are kept wherever they stand. */
  readonly known: ReadonlySet<string>;
}

/** Reads the bounds from a schema of TypeBox. */
export function boundsOf(schema: object): Bounds {
  const known = new Set<string>();
  let most = LEAST_ENTRIES;
  const visit = (part: object) => {
    for (const [keyword, value] of Object.entries(part)) {
      if (limits.has(keyword) && typeof value === 'number') most = Math.max(most, value);
      if (typeof value !== 'object' || value === null) continue;
      if (keyword === 'properties') for (const name of Object.keys(value)) known.add(name);
      visit(value);
    }
  };
  visit(schema);
  return { entries: most + 1, known };
}

/**
 * The value with the beginning of each list and object alone; the value itself where nothing is left out. When the
 * beginning breaks a schema of these bounds, so does the whole.
 */
export function beginningOf(value: unknown, bounds: Bounds, depth = 0): unknown {
  if (typeof value !== 'object' || value === null || depth === MOST_DEPTH) return value;
  if (Array.isArray(value)) {
    const kept = value.length > bounds.entries ? value.slice(0, bounds.entries) : value;
    const items = kept.map((item) => beginningOf(item, bounds, depth + 1));
    return kept === value && items.every((item, at) => item === value[at]) ? value : items;
  }
  const names = Object.keys(value);
  const kept =
    names.length > bounds.entries
      ? names.filter((name, at) => at < bounds.entries || bounds.known.has(name))
      : names;
  const fields = value as Record<string, unknown>;
  const entries = kept.map((name) => [name, beginningOf(fields[name], bounds, depth + 1)] as const);
  const isWhole = kept === names && entries.every(([name, begun]) => begun === fields[name]);
  return isWhole ? value : Object.fromEntries(entries);
}

const limits: ReadonlySet<string> = new Set(['maxItems', 'minItems', 'maxProperties', 'minProperties']);
// Most values have fewer, and are never copied.
const LEAST_ENTRIES = 255;
// JSON may be nested without end, and no schema has lists deeper inside.
const MOST_DEPTH = 4;
