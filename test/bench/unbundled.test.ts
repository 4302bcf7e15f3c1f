import { readdirSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { unbundled } from '../../bench/report/unbundled.js';
import { builtFile } from '../../config/package-root.js';

const test = suite('functions of a bundle in a profile');

const chunks = readdirSync(builtFile('server/chunks')).filter((name) => name.endsWith('.js'));
const bundles = [builtFile('server/main.js'), ...chunks.map((name) => builtFile(`server/chunks/${name}`))];

/** Where a function stands that a bundle has; V8 counts from 0. */
function frameOf(name: string) {
  for (const bundle of bundles) {
    const lines = readFileSync(bundle, 'utf8').split('\n');
    const lineNumber = lines.findIndex((line) => line.includes(`function ${name}(`));
    if (lineNumber >= 0) return { functionName: name, url: bundle.href, lineNumber };
  }
  throw new Error(`no bundle has a function ${name}`);
}

function urlsOf(...frames: { functionName: string; url: string }[]): string[] {
  const nodes = frames.map((callFrame, id) => ({ id, callFrame }));
  return unbundled({ nodes, samples: [], timeDeltas: [] }).nodes.map(({ callFrame }) => callFrame.url);
}

test('lie in the module or the package that they come from', () => {
  const [own, packaged] = urlsOf(frameOf('problemOfFailure'), frameOf('serializePathWithQuery'));
  assert.is(own, 'server/http/reply.js');
  assert.is(packaged, 'node_modules/undici/lib/core/util.js');
});

test('what is not of a bundle stays where it is', () => {
  const at = { functionName: 'run', lineNumber: 40 };
  const piscina = import.meta.resolve('piscina');
  const module = builtFile('server/outcome.js').href;
  const frames = ['node:events', '', piscina, module].map((url) => ({ ...at, url }));
  assert.equal(urlsOf(...frames), ['node:events', '', piscina, module]);
});

test.run();
