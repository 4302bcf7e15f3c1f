import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadConfig } from '../../config/load.js';
import { standInProblems, standInsOf } from '../../server/stand-ins.js';
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

test('a worker asks what is configured, and else what its primary has started', () => {
  const seat = { workers: 2, index: 0, port: 1, gatewayUrl: 'http://simulator', ragUrl: 'http://retriever' };
  const none = withFile('', (path) => loadConfig({ path, env: {}, domains }));
  assert.equal(standInsOf(none, seat), {
    gatewayUrl: 'http://simulator',
    ragUrl: 'http://retriever',
    names: { model_gateway: 'simulator', rag: 'embedded retriever' },
  });
  const yaml = 'gateway: {url: "http://gateway"}\nrag: {url: "http://rag"}';
  const both = withFile(yaml, (path) => loadConfig({ path, env: {}, domains }));
  assert.equal(standInsOf(both, seat), {
    gatewayUrl: 'http://gateway',
    ragUrl: 'http://rag',
    names: {},
  });
  const own = ['tiny', 'small', 'large', 'frontier'].map((tier) => `  ${tier}: {model: m, endpoint: e}`);
  const without = `tier_models:\n${own.join('\n')}\nendpoints: {e: {url: "http://own"}}`;
  const onlyOwn = withFile(without, (path) => loadConfig({ path, env: {}, domains }));
  assert.equal(standInsOf(onlyOwn, { workers: 2, index: 0, port: 1, ragUrl: 'http://retriever' }), {
    gatewayUrl: undefined,
    ragUrl: 'http://retriever',
    names: { rag: 'embedded retriever' },
  });
  const unknown = { workers: 2, index: 0, port: 1 };
  assert.throws(() => standInsOf(none, unknown), /^gateway\.url is not set/);
});

test.run();
