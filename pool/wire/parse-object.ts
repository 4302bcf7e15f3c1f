import { asObject } from '../../contracts/objects.js';
import type { MessageSize } from './message-size.js';

/** The JSON object that a text is; undefined when it is none, or has more values than `size` allows. */
export function parseObject(text: string, size: MessageSize): Record<string, unknown> | undefined {
  // Nearly each stream ends with what is no JSON, and to throw costs V8 more than to read ten messages (bench: execute).
  if (!OBJECT.test(text) || !size.bears(text)) return undefined;
  try {
    return asObject(JSON.parse(text));
  } catch {
    return undefined;
  }
}

const OBJECT = /^[\t\n\r ]*\{/;
