import { asObject } from '../../contracts/objects.js';

/** The JSON object that a text is; undefined when it is none. */
export function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    return asObject(JSON.parse(text));
  } catch {
    return undefined;
  }
}
