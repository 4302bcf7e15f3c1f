import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { aimText, type Metric, type ScenarioResult, type SuiteResult } from '../result.js';
import { shown, spreadText } from '../tables.js';

/**
 * The result as one HTML page that needs no network: uPlot is in it, and its policy forbids to load anything.
 */
export function reportPage(result: SuiteResult): string {
  const { machine, startedAt, options } = result;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Benchmarks of ${escaped(startedAt)}</title>
<style>${uplot('uPlot.min.css')}
${source('page.css')}</style>
</head>
<body>
<h1>Benchmarks</h1>
<p>${escaped(`${startedAt} · Node ${machine.node} · ${machine.cores} cores, ${machine.cpu} · seed ${options.seed}`)}</p>
${result.scenarios.map(section).join('\n')}
<script type="application/json" id="recordings">${inScript(recordings(result))}</script>
<script>${uplot('uPlot.iife.min.js').replaceAll('</script', '<\\/script')}</script>
<script>${source('charts.js')}</script>
</body>
</html>
`;
}

function section({ name, question, metrics, notes, error }: ScenarioResult): string {
  return `<section id="${escaped(name)}">
<h2>${escaped(name)}</h2>
<p>${escaped(question)}</p>
${error === undefined ? '' : `<pre class="error">${escaped(error)}</pre>`}
${metrics.length === 0 ? '' : table(metrics)}
<div class="charts" data-scenario="${escaped(name)}"></div>
${notes.map((note) => `<p class="note">${escaped(note)}</p>`).join('\n')}
</section>`;
}

function table(metrics: readonly Metric[]): string {
  const rows = metrics.map(
    (metric) => `<tr${metric.met === undefined ? '' : ` class="met-${metric.met}"`}>
<th scope="row">${escaped(metric.name)}</th>
<td>${shown(metric.value)}</td><td>${escaped(metric.unit)}</td>
<td>${escaped(spreadText(metric.value, metric.spread))}</td>
<td>${escaped(aimText(metric.aim))}</td><td>${metric.met ?? ''}</td></tr>`,
  );
  const heads = ['metric', 'value', 'unit', 'spread', 'aim', 'met?'];
  return `<div class="wide"><table>
<thead><tr>${heads.map((head) => `<th scope="col">${head}</th>`).join('')}</tr></thead>
<tbody>${rows.join('\n')}</tbody>
</table></div>`;
}

/** What the charts need, without the encoded histograms. */
function recordings(result: SuiteResult): object {
  return Object.fromEntries(
    result.scenarios.map((scenario) => [
      scenario.name,
      scenario.recordings.map(({ name, latency, perSecond }) => ({
        name,
        percentiles: latency?.percentiles ?? [],
        perSecond,
      })),
    ]),
  );
}

/** A text for HTML or XML. */
export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character]!);
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Inside a script element nothing may look like its end or like a comment. */
function inScript(value: object): string {
  return JSON.stringify(value).replaceAll('<', '\\u003c');
}

/** From the source tree: what runs in a browser is not compiled. */
function source(file: string): string {
  const root = fileURLToPath(new URL('../../..', import.meta.url));
  return readFileSync(join(root, 'bench/report', file), 'utf8');
}

function uplot(file: string): string {
  const main = createRequire(import.meta.url).resolve('uplot');
  return readFileSync(join(dirname(main), file), 'utf8');
}
