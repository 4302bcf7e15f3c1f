import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type CpuProfile, flameGraph, foldProfile, sharesOf } from '../../bench/report/flame-graph.js';

const test = suite('flame graph');

const node = (id: number, functionName: string, url: string, children: number[] = []) => ({
  id,
  callFrame: { functionName, url },
  children,
});

const profile: CpuProfile = {
  nodes: [
    node(1, '(root)', '', [2, 5, 6]),
    node(2, 'execute', 'file:///app/dist/server/execution.js', [3, 4]),
    node(3, 'dispatch', 'file:///app/node_modules/undici/lib/agent.js'),
    node(4, 'execute', 'file:///app/dist/server/execution.js'),
    node(5, '(garbage collector)', ''),
    node(6, '(idle)', ''),
  ],
  samples: [2, 3, 6, 5, 2, 4],
  timeDeltas: [1000, 200, 9000, 300, 400, 100],
};

test('time is added up along each way of calls, without idle time and without what came before', () => {
  const root = foldProfile(profile, 1100);
  assert.is(root.total, 1000);
  const execute = root.children.get('execute server/execution.js')!;
  assert.equal([execute.total, execute.self, execute.origin], [700, 400, 'service']);
  assert.is(execute.children.get('dispatch undici/lib/agent.js')!.origin, 'packages');
});

test('every microsecond belongs to one origin', () => {
  const root = foldProfile(profile, 0);
  assert.equal(sharesOf(root), [
    ['service', 1500],
    ['garbage collector', 300],
    ['packages', 200],
    ['native', 0],
  ]);
});

test('each box is as wide as its share, and says what it is', () => {
  const svg = flameGraph(foldProfile(profile, 0), 'a <title>');
  assert.match(svg, /<title>execute server\/execution\.js: 85\.0 %<\/title><rect [^>]*width="1190\.0"/);
  assert.match(svg, /a &lt;title&gt;/);
  assert.not.match(svg, /<script|href=|url\(/);
});

test.run();
