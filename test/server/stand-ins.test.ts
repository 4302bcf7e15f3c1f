import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadConfig } from '../../config/load.js';
import { standInProblems } from '../../server/stand-ins.js';
import { domains, errorOf, withFile } from '../config/a-config.js';

const test = suite('stand-ins');

function problemsOf(yaml: string) {
  const load = (path: string) => loadConfig({ path, env: {}, domains, check: standInProblems });
  return errorOf(() => withFile(yaml, load))?.problems ?? [];
}

test('knobs of the simulator that are wrong are named before anything starts', () => {
  const expected = 'knobs of the gateway simulator (docs/simulators.md)';
  const path = 'embedded.simulator';
  assert.equal(problemsOf('embedded: {simulator: {ttftMs: -1}}'), [
    { path, found: 'ttftMs: expected a number from 0 to 2147483647, got -1', expected },
  ]);
  assert.equal(problemsOf('embedded: {simulator: {slow: 1}}'), [
    { path, found: 'slow: unknown knob', expected },
  ]);
  assert.equal(problemsOf('embedded: {simulator: {ttftMs: 5}}'), []);
});

test.run();
