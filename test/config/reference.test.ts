import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { configurationReference } from '../../config/reference.js';

test('docs/configuration.md is what the schema says; if not, run node dist/config/reference.js', () => {
  const written = readFileSync(new URL('../../../docs/configuration.md', import.meta.url), 'utf8');
  assert.is(written, `${configurationReference()}\n`);
});

test.run();
