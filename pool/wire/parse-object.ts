import { asObject } from '../../contracts/objects.js';

/** The JSON object that a text is; undefined when it is none. */
export function parseObject(text: string): Record<string, unknown> | undefined {
  // Nearly each stream ends with what is no JSON, and to throw costs V8 more than to read ten messages (bench: execute).
  if (!OBJECT.test(text)) return undefined;
  try {
    return asObject(JSON.parse(text));
  } catch {
    return undefined;
  }
}

const OBJECT = /^[\t\n\r ]*\{/;
