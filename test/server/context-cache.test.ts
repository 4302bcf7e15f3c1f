import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { ContextCache, type ContextCacheLimits } from '../../server/context-cache.js';

const test = suite('cache of context');

const limits: ContextCacheLimits = { ttlSeconds: 60, maxEntries: 10, maxBytes: 1_000 };

/** Which of the keys are kept after each was set to a text of so many characters. */
function kept(sizes: Readonly<Record<string, number>>, some: Partial<ContextCacheLimits> = {}): string[] {
  const cache = new ContextCache({ ...limits, ...some });
  for (const [key, size] of Object.entries(sizes)) cache.set(key, { text: 'x'.repeat(size), sources: [] });
  const found = Object.keys(sizes).filter((key) => cache.get(key) !== undefined);
  cache.close();
  return found;
}

test('the oldest answers make room when there are too many', () => {
  assert.deepEqual(kept({ a: 1, b: 1, c: 1, d: 1 }, { maxEntries: 2 }), ['c', 'd']);
  assert.deepEqual(kept({ a: 1 }, { maxEntries: 0 }), []);
});

test('the oldest answers make room when they are too large together', () => {
  assert.deepEqual(kept({ a: 400, b: 400, c: 400 }), ['b', 'c']);
  assert.deepEqual(kept({ a: 100, b: 100, c: 900 }), ['c']);
});

test('an answer that is too large by itself is not kept, and drives out no other', () => {
  assert.deepEqual(kept({ a: 400, b: 5_000, c: 400 }), ['a', 'c']);
});

test('sources count, and texts in shared memory', () => {
  const cache = new ContextCache(limits);
  cache.set('a', { text: '', sources: [{ artifact_id: 'x'.repeat(600) }] });
  cache.set('b', { text: new SharedArrayBuffer(600), sources: [] });
  assert.equal(cache.get('a'), undefined);
  assert.ok(cache.get('b'));
  cache.close();
});

test('what has expired, or was set again, takes no room', async () => {
  const cache = new ContextCache({ ...limits, ttlSeconds: 0.05 });
  const answer = { text: 'x'.repeat(600), sources: [] };
  cache.set('a', answer);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(cache.get('a'), undefined);
  const large = { text: 'x'.repeat(900), sources: [] };
  for (let times = 0; times < 3; times++) cache.set('b', large);
  assert.equal(cache.get('b'), large);
  cache.close();
});

test.run();
