import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { unbundled } from '../../bench/report/unbundled.js';
import { builtFile } from '../../config/package-root.js';

const test = suite('functions of a bundle in a profile');

const service = builtFile('server/main.js');
const lines = readFileSync(service, 'utf8').split('\n');

/** Where a function stands that the bundle has; V8 counts from 0. */
function frameOf(name: string) {
  const lineNumber = lines.findIndex((line) => line.includes(`function ${name}(`));
  assert.ok(lineNumber >= 0, name);
  const columnNumber = lines[lineNumber]!.indexOf(`${name}(`) + name.length;
  return { functionName: name, url: service.href, lineNumber, columnNumber };
}

function urlsOf(...frames: { functionName: string; url: string }[]): string[] {
  const nodes = frames.map((callFrame, id) => ({ id, callFrame }));
  return unbundled({ nodes, samples: [], timeDeltas: [] }).nodes.map(({ callFrame }) => callFrame.url);
}

test('lie in the module or the package that they come from', () => {
  const [own, packaged] = urlsOf(frameOf('problemOfFailure'), frameOf('serializePathWithQuery'));
  assert.is(own, 'server/http/reply.ts');
  assert.is(packaged, 'node_modules/undici/lib/core/util.js');
});

test('what is not of a bundle stays where it is', () => {
  const at = { functionName: 'run', lineNumber: 40, columnNumber: 9 };
  const piscina = import.meta.resolve('piscina');
  const frames = ['node:events', '', piscina, 'file:///nowhere/a.js'].map((url) => ({ ...at, url }));
  assert.equal(urlsOf(...frames), ['node:events', '', piscina, 'file:///nowhere/a.js']);
});

test.run();
