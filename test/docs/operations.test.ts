import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import { parse } from 'yaml';
import { type PrometheusServer, prometheusCommand, startPrometheus } from '../../bench/servers/prometheus.js';
import { loadConfig } from '../../config/load.js';
import { failures } from '../../contracts/failures.js';
import { domainNames } from '../../domains/registry.js';
import { freshNames, rabbitmqSection } from '../events/at-broker.js';
import { aTask, atService, type ServiceUnderTest, until } from '../service/at-service.js';
import { type SharedRabbit, sharedRabbit } from '../shared-rabbit.js';

const test = suite('dashboard and alerts');
const file = (name: string) => fileURLToPath(new URL(`../../../docs/operations/${name}`, import.meta.url));
const rules = parse(readFileSync(file('alerts.yaml'), 'utf8')).groups[0].rules as {
  alert: string;
  expr: string;
  annotations: { runbook: string };
}[];
const dashboard = JSON.parse(readFileSync(file('dashboard.json'), 'utf8')) as {
  panels: { title: string; targets: { expr: string }[] }[];
};
const expressions = [
  ...rules.map(({ expr }) => expr),
  ...dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
];
let rabbit: SharedRabbit;
let service: ServiceUnderTest;
let prometheus: PrometheusServer;

test.before(async () => {
  rabbit = await sharedRabbit();
  service = await atService(`gateway: {max_attempts: 1}\n${rabbitmqSection(freshNames())}`, {
    RABBITMQ_HOST: rabbit.url,
  });
  assert.equal((await service.execute(aTask({ context: undefined }))).status, 200);
  await service.knobs({ status: 400 });
  assert.equal((await service.execute(aTask())).status, 502);
  prometheus = await startPrometheus(new URL(service.url).host, file('alerts.yaml'));
});
test.after(async () => {
  await prometheus?.close();
  await service?.close();
  await rabbit?.close();
});

test('promtool finds nothing wrong with the rules and with our metrics', async () => {
  const checked = spawnSync(prometheusCommand('promtool'), ['check', 'rules', file('alerts.yaml')], {
    encoding: 'utf8',
  });
  assert.equal(checked.status, 0, checked.stdout + checked.stderr);
  const { text } = await service.ask('GET', '/metrics');
  const ours = text
    .split('\n')
    .filter((line) => /^(?:# (?:HELP|TYPE) )?worker_service_/.test(line))
    .join('\n');
  const linted = spawnSync(prometheusCommand('promtool'), ['check', 'metrics'], {
    input: `${ours}\n`,
    encoding: 'utf8',
  });
  assert.equal(linted.status, 0, linted.stdout + linted.stderr);
});

test('each rule and each panel asks for metrics and labels that there are', async () => {
  const { text } = await service.ask('GET', '/metrics');
  const labelsOf = new Map<string, Set<string>>([['up', new Set(['job', 'instance'])]]);
  for (const [, name, , labels] of text.matchAll(/^(\w+)(\{(.*)\})? \S+$/gm)) {
    const known = labelsOf.get(name!) ?? new Set(['job', 'instance']);
    for (const [, label] of (labels ?? '').matchAll(/(\w+)="/g)) known.add(label!);
    labelsOf.set(name!, known);
  }
  assert.ok(expressions.length > 30);
  for (const expr of expressions) {
    const metrics = expr.match(/\b(?:worker_service|nodejs|process)_\w+|\bup\b/g) ?? [];
    assert.ok(metrics.length > 0, expr);
    const known = new Set(metrics.flatMap((name) => [...(labelsOf.get(name) ?? [])]));
    for (const name of metrics) assert.ok(labelsOf.has(name), `${expr} asks for ${name}`);
    const grouped = [...expr.matchAll(/(?:by|on) \(([^)]*)\)/g)].flatMap(([, list]) => list!.split(/, */));
    const matched = [...expr.matchAll(/(\w+)(?:=~|!~|=|!=)"/g)].map(([, label]) => label!);
    for (const label of [...grouped, ...matched]) assert.ok(known.has(label), `${expr} asks for ${label}`);
  }
});

test('a real Prometheus scrapes the service and evaluates every rule', async () => {
  const targets = async () =>
    ((await prometheus.ask('/api/v1/targets')) as { activeTargets: { health: string; lastError: string }[] })
      .activeTargets;
  await until(async () => {
    try {
      return (await targets())[0]?.health === 'up';
    } catch {
      return false; // it does not listen yet
    }
  }, 'a scrape');
  const evaluated = async () =>
    ((await prometheus.ask('/api/v1/rules')) as { groups: { rules: { health: string; name: string }[] }[] })
      .groups[0]!.rules;
  await until(async () => (await evaluated()).every(({ health }) => health !== 'unknown'), 'an evaluation');
  assert.deepEqual(
    (await evaluated()).map(({ name, health }) => [name, health]),
    rules.map(({ alert }) => [alert, 'ok']),
  );
  const query = encodeURIComponent('sum by (status) (worker_service_tasks_total)');
  await until(async () => {
    const { result } = (await prometheus.ask(`/api/v1/query?query=${query}`)) as { result: unknown[] };
    return result.length === 2;
  }, 'both outcomes');
});

test('each tier of the shipped configuration has an alert at its limit, and each alert a section', () => {
  const { queues, tier_models } = loadConfig({ env: {}, domains: domainNames });
  for (const tier of Object.keys(tier_models)) {
    const { timeout } = queues[tier]!;
    const rule = rules.find(({ alert }) => alert === `TierSlow_${tier}`);
    assert.ok(rule?.expr.trim().endsWith(`> ${timeout}`), tier);
  }
  const sections = [...readFileSync(file('alerts.md'), 'utf8').matchAll(/^## (.+)$/gm)].map(([, title]) =>
    title!.toLowerCase(),
  );
  for (const { alert, annotations } of rules)
    assert.ok(sections.includes(annotations.runbook.split('#')[1]!), alert);
});

test('each event of the log is in the list of events with its level, and no other', () => {
  const directory = fileURLToPath(new URL('../../../server', import.meta.url));
  const written = new Map<string, string>();
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts')) continue;
    const source = readFileSync(join(directory, name), 'utf8');
    for (const [, level, event] of source.matchAll(/\.(info|warn|error|fatal)\(\{\s*event: '(\w+)'/g))
      written.set(event!, level!);
  }
  const listed = new Map<string, string>();
  const rows = readFileSync(file('log.md'), 'utf8').matchAll(/^\| (`\w+`(?:, `\w+`)*) \| ([\w, ]+) \|/gm);
  for (const [, names, levels] of rows) {
    const each = levels!.split(', ');
    for (const [at, name] of names!.split(', ').entries())
      listed.set(name.replaceAll('`', ''), each[at] ?? each[0]!);
  }
  const sorted = (map: Map<string, string>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  assert.deepEqual(sorted(listed), sorted(written));
});

test('each error code has a cause and a remedy', () => {
  const document = readFileSync(new URL('../../../docs/OPERATIONS.md', import.meta.url), 'utf8');
  const rows = [...document.matchAll(/^\| `(\w+)` \| (\d+) \| [^|]+ \| [^|]+ \|$/gm)];
  assert.deepEqual(
    rows.map(([, code, status]) => [code, Number(status)]),
    Object.entries(failures).map(([code, { status }]) => [code, status]),
  );
});

test.run();
