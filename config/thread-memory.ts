import { isObject } from '../contracts/objects.js';
import type { Problem } from './error.js';
import { fieldName } from './fields.js';
import { heapPerByte } from './sections/threads.js';

type Draft = Readonly<Record<string, unknown>>;

/**
 * Heap that a thread needs for the largest document that it may be given, in MiB. V8 ends the whole process, not the
 * thread, when one operation of its own takes the heap more than a little beyond its limit, as the parsing of a
 * document of many small objects does: `{},` is 3 bytes, and 64 of heap.
 */
export function leastMemoryMb(draft: Draft): number {
  const sizes = documents.map(([section, field]) => {
    const fields = draft[section];
    const size = isObject(fields) ? fields[field] : undefined;
    return typeof size === 'number' ? size : 0;
  });
  return Math.ceil((Math.max(...sizes) * heapPerByte) / 2 ** 20);
}

/** What is wrong by the schema is passed over here. */
export function threadsTooSmall(draft: Draft): Problem[] {
  const memory = isObject(draft.threads) ? draft.threads.max_memory_mb : undefined;
  const least = leastMemoryMb(draft);
  if (typeof memory !== 'number' || memory >= least) return [];
  const names = documents.map((keys) => fieldName([...keys])).join(', ');
  return [
    {
      path: fieldName(['threads', 'max_memory_mb']),
      found: String(memory),
      expected: `at least ${least}, which is ${heapPerByte} times the largest of ${names}`,
    },
  ];
}

const documents = [
  ['server', 'max_body_bytes'],
  ['rabbitmq', 'max_message_bytes'],
  ['rag', 'max_response_bytes'],
  ['output', 'max_bytes'],
] as const;
