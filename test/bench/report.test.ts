import { readFileSync } from 'node:fs';
import vm from 'node:vm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Latencies } from '../../bench/latencies.js';
import { reportPage } from '../../bench/report/page.js';
import { metric, type Recording } from '../../bench/result.js';
import { resultTable } from '../../bench/tables.js';
import { aResult } from './a-result.js';

const test = suite('report of the benchmarks');

function aRecording(name: string, perSecond: Recording['perSecond']): Recording {
  const latencies = new Latencies();
  for (const ms of [1, 2, 300]) latencies.record(ms);
  return { name, latency: latencies.distribution(), perSecond };
}

const page = (scenario = {}) => reportPage(aResult(scenario));

/** What is between the tags of the page's scripts. */
const scriptsOf = (html: string) =>
  [...html.matchAll(/<script([^>]*)>([\s\S]*?)<\/script>/g)].map(([, tag, text]) => ({
    tag: tag!,
    text: text!,
  }));

test('the page loads nothing: no element names a place, and its policy forbids it', () => {
  const html = page({ recordings: [aRecording('floor', [[1, 2]])] });
  const markup = html.replace(/<script[\s\S]*?<\/script>/g, '');
  assert.not.match(markup, /\b(?:src|href|srcset|action|poster)\s*=/i);
  assert.not.match(markup, /url\(|@import|<(?:link|iframe|img|object|embed|base)\b/i);
  assert.not.match(html, /\b(?:fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|importScripts)\b/);
  assert.match(
    html,
    /Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"/,
  );
});

test('the charting library is in it, whole', () => {
  const library = scriptsOf(page()).find(({ text }) => text.includes('uPlot=function'));
  assert.ok(library !== undefined);
  new vm.Script(library.text);
});

test('it has colours for light and for dark', () => {
  assert.match(page(), /prefers-color-scheme: dark/);
  assert.match(page(), /name="color-scheme" content="light dark"/);
});

test('what a scenario says cannot become markup or end the script', () => {
  const evil = '</script><img src=x onerror=alert(1)>';
  const html = page({
    question: evil,
    notes: [evil],
    error: evil,
    metrics: [metric(evil, evil, [1])],
    recordings: [aRecording(evil, [[1, 2]])],
  });
  assert.not.match(html, /<img/);
  assert.is(scriptsOf(html).length, scriptsOf(page()).length);
});

test('the script draws the latencies and the throughput of every recording, aligned', () => {
  const charts = drawnBy(
    page({ recordings: [aRecording('floor', [[5, 6], [7]]), aRecording('service', [[1, 2, 3]])] }),
  );
  assert.equal(
    charts.map(({ names }) => names),
    [
      ['percentile', 'floor', 'service'],
      ['second', 'floor', 'service'],
    ],
  );
  for (const { data } of charts) assert.is(new Set(data.map(({ length }) => length)).size, 1);
  assert.equal(charts[1]!.data.slice(1), [
    [5, 6, null, 7, null],
    [1, 2, 3, null, null],
  ]);
  assert.equal(charts[0]!.data[1]!.at(-1), 300.031);
});

test('a scenario without recordings has no charts', () => {
  assert.equal(drawnBy(page()), []);
});

test('the text table has a row a metric, and one for a scenario that failed', () => {
  const met = metric('ratio', 'ratio', [0.5, 0.7, 0.6], { better: 'higher', aim: { atLeast: 0.6 } });
  assert.match(
    resultTable(aResult({ metrics: [met] })),
    /execute\s+ratio\s+0\.6 ratio\s+33 %\s+≥ 0\.6\s+yes/,
  );
  assert.match(
    resultTable(aResult({ error: 'Error: it broke\n at x' })),
    /execute\s+FAILED\s+Error: it broke\s+no/,
  );
});

test.run();

/** Runs the page's own script on a document of stubs, and returns what it hands to the charting library. */
function drawnBy(html: string): { names: string[]; data: unknown[][] }[] {
  const charts: { names: string[]; data: unknown[][] }[] = [];
  const recordings = scriptsOf(html).find(({ tag }) => tag.includes('application/json'))!.text;
  const script = readFileSync(new URL('../../../bench/report/charts.js', import.meta.url), 'utf8');
  assert.ok(html.includes(script));
  const place = { dataset: { scenario: 'execute' }, clientWidth: 800, replaceChildren() {} };
  vm.runInNewContext(script, {
    document: {
      documentElement: {},
      getElementById: () => ({ textContent: recordings }),
      querySelectorAll: () => [place],
    },
    getComputedStyle: () => ({ getPropertyValue: () => '#000' }),
    matchMedia: () => ({ addEventListener() {} }),
    addEventListener() {},
    uPlot: class {
      constructor({ series }: { series: { label: string }[] }, data: unknown[][]) {
        charts.push(JSON.parse(JSON.stringify({ names: series.map(({ label }) => label), data })));
      }
    },
  });
  return charts;
}
