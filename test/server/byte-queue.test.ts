import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { ByteQueue } from '../../server/byte-queue.js';

const test = suite('byte queue');

test('what is taken is what was pushed, in order, whatever the sizes', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 20_000 }), { maxLength: 12 }), (chunks) => {
      const queue = new ByteQueue();
      for (const chunk of chunks) queue.push(chunk);
      assert.equal(
        queue.length,
        chunks.reduce((sum, { length }) => sum + length, 0),
      );
      assert.ok(Buffer.concat(chunks).equals(queue.take()));
      assert.equal(queue.length, 0);
    }),
    { numRuns: 100 },
  );
});

test('bytes that were taken do not change when others arrive, nor do the chunks that were pushed', () => {
  const queue = new ByteQueue();
  const chunk = Uint8Array.of(1, 2);
  queue.push(chunk);
  queue.push(Uint8Array.of(3));
  const taken = queue.take();
  queue.push(Uint8Array.of(9));
  queue.push(Uint8Array.of(9));
  assert.deepEqual([...taken], [1, 2, 3]);
  assert.deepEqual([...chunk], [1, 2]);
});

test.run();
