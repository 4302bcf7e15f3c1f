import { isObject } from '../../contracts/objects.js';

/** A knob that does not exist or cannot have this value; the message names it. */
export class KnobError extends Error {
  override readonly name = 'KnobError';
}

/** What a caller may set; a knob that is `null` goes back to its default. */
export type KnobsInput<Knobs> = { readonly [Name in keyof Knobs]?: Knobs[Name] | null };

/** Returns what was expected when the value is not allowed. */
export type Check = (value: unknown, path: string) => string | undefined;
export type Checks<Knobs> = Readonly<Record<keyof Knobs, Check>>;

/**
 * Lays `input` over `base`; `path` is where it stands among the knobs.
 * @throws {KnobError} when a knob is unknown or its value is not allowed.
 */
export function mergeKnobs<Knobs extends object>(
  base: Knobs,
  defaults: Knobs,
  checks: Checks<Knobs>,
  input: unknown,
  path: string,
): Knobs {
  if (!isObject(input)) throw new KnobError(`${path || 'knobs'}: expected an object of knobs`);
  const merged = { ...base } as Record<string, unknown>;
  for (const [name, value] of Object.entries(input)) {
    if (!isKnob(checks, name)) throw new KnobError(`${path}${name}: unknown knob`);
    if (value === undefined) continue;
    const expected = value === null ? undefined : checks[name](value, `${path}${name}`);
    if (expected !== undefined) {
      throw new KnobError(`${path}${name}: expected ${expected}, got ${JSON.stringify(value).slice(0, 80)}`);
    }
    merged[name] = value ?? defaults[name];
  }
  return merged as Knobs;
}

function isKnob<Knobs extends object>(checks: Checks<Knobs>, name: string): name is keyof Knobs & string {
  return Object.hasOwn(checks, name);
}

export const number =
  (min: number, max = Number.MAX_SAFE_INTEGER): Check =>
  (value) =>
    typeof value === 'number' && value >= min && value <= max ? undefined : `a number ${range(min, max)}`;

export const integer =
  (min: number, max = Number.MAX_SAFE_INTEGER): Check =>
  (value) =>
    Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max
      ? undefined
      : `an integer ${range(min, max)}`;

const range = (min: number, max: number) =>
  max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;

export const flag: Check = (value) => (typeof value === 'boolean' ? undefined : 'true or false');
export const text: Check = (value) => (typeof value === 'string' ? undefined : 'a string');

export const oneOf =
  (...allowed: readonly string[]): Check =>
  (value) =>
    typeof value === 'string' && allowed.includes(value) ? undefined : `one of ${allowed.join(', ')}`;

/** Entries nest one level only: a script inside a script means nothing. */
export const plainKnobs =
  <Knobs extends object>(defaults: Knobs, checks: () => Checks<Knobs>, refused: readonly string[]): Check =>
  (value, path) => {
    for (const name of refused) {
      if (isObject(value) && Object.hasOwn(value, name))
        throw new KnobError(`${path}.${name}: may not be nested`);
    }
    mergeKnobs(defaults, defaults, checks(), value, `${path}.`);
    return undefined;
  };

export const listOf =
  (check: Check): Check =>
  (value, path) =>
    Array.isArray(value)
      ? value
          .map((entry, index) => check(entry, `${path}[${index}]`))
          .find((complaint) => complaint !== undefined)
      : 'a list of knob objects';

export const mapOf =
  (check: Check): Check =>
  (value, path) =>
    isObject(value)
      ? Object.entries(value)
          .map(([key, entry]) => check(entry, `${path}.${key}`))
          .find((complaint) => complaint !== undefined)
      : 'an object of knob objects';

export const maxBytes = 256 * 1024 * 1024;
export const maxDelayMs = 2 ** 31 - 1;
