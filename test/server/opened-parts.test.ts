import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { OpenedParts } from '../../server/opened-parts.js';

const test = suite('parts that were opened');

test('are closed in the opposite order, also when one of them cannot be', async () => {
  const logged: object[] = [];
  const closed: string[] = [];
  const parts = new OpenedParts({ error: (entry: object) => logged.push(entry) });
  parts.keep({ close: () => void closed.push('first') });
  parts.keep({
    close: () => {
      throw new Error('at once');
    },
  });
  parts.keep({ close: () => Promise.reject(new Error('later')) });
  parts.keep({ close: async () => void closed.push('last') });
  await assert.rejects(parts.close(), /later/);
  assert.deepEqual(closed, ['last', 'first']);
  assert.deepEqual(logged, [
    { event: 'part_not_closed', error: 'later' },
    { event: 'part_not_closed', error: 'at once' },
  ]);
  await parts.close();
  assert.equal(closed.length, 2);
});

test.run();
