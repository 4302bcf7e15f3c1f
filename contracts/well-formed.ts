import type { Violation } from './validator.js';

/**
 * Finds the texts of a JSON value that hold half of a surrogate pair: JSON can escape one, UTF-8 cannot encode it,
 * so that it would come out changed at the other end (RFC 8259, 8.2; RFC 7493, 2.1). For values whose names need no
 * escape in a pointer.
 */
export function loneSurrogates(value: unknown, path = ''): Violation[] {
  if (typeof value === 'string')
    return value.isWellFormed() ? [] : [{ path, message: 'must not hold half of a surrogate pair' }];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, item]) => loneSurrogates(item, `${path}/${name}`));
}
