import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { validate } from 'dockerfile-utils';
import { suite } from 'uvu';
import { parse, parseAllDocuments } from 'yaml';
import { problemsOf } from '../config/a-config.js';

const test = suite('what is shipped');
const root = fileURLToPath(new URL('../../../', import.meta.url));
const read = (path: string) => readFileSync(`${root}${path}`, 'utf8');
const require = createRequire(import.meta.url);

test('the Dockerfile has no fault, and what it copies is there and in its context', () => {
  const text = read('Dockerfile');
  assert.deepEqual(validate(text), []);
  const context = read('.dockerignore')
    .split('\n')
    .filter((line) => line.startsWith('!'))
    .map((line) => line.slice(1));
  const copied = [...text.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources]) =>
    sources!.split(' '),
  );
  assert.ok(copied.length > 8);
  for (const source of copied) {
    assert.ok(existsSync(root + source), `${source} is not there`);
    assert.ok(
      context.some((kept) => source === kept || source.startsWith(`${kept}/`)),
      `${source} is ignored`,
    );
  }
  const compiled = parse(read('tsconfig.json')).include as string[];
  for (const source of compiled) assert.ok(copied.includes(source), `${source} is compiled and not copied`);
  const last = text.slice(text.lastIndexOf('FROM '));
  assert.match(last, /^USER node$/m);
  assert.match(last, /^HEALTHCHECK /m);
});

test('compose.yaml has no fault, and what it mounts is there', () => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [`${root}node_modules/dclint/bin/dclint.cjs`, '--max-warnings', '0', 'compose.yaml'],
    { cwd: root, encoding: 'utf8' },
  );
  assert.equal(status, 0, stdout + stderr);
  const { services } = parse(read('compose.yaml')) as { services: Record<string, { volumes?: string[] }> };
  assert.deepEqual(Object.keys(services), [
    'worker',
    'rabbitmq',
    'postgres',
    'prometheus',
    'grafana',
    'ollama',
  ]);
  const mounted = Object.values(services).flatMap(({ volumes = [] }) =>
    volumes.filter((volume) => volume.startsWith('./')).map((volume) => volume.split(':')[0]!),
  );
  // The secrets are made by whoever sets it up.
  for (const path of mounted.filter((each) => !each.includes('/secrets/')))
    assert.ok(existsSync(root + path), `${path} is not there`);
});

test('the set-ups are ones that the service starts with', () => {
  const { services } = parse(read('compose.yaml'));
  // What is not set on the host is empty.
  const environment = Object.entries<string>(services.worker.environment).map(([name, value]) => [
    name,
    value.replace(/\$\{\w+:-\}/, ''),
  ]);
  assert.deepEqual(problemsOf('', { HOST: '0.0.0.0', ...Object.fromEntries(environment) }), []);
  const documents = kubernetes();
  const file = documents.find(({ kind }) => kind === 'ConfigMap')!.data['worker-service.yaml'];
  const [container] = documents.find(({ kind }) => kind === 'Deployment')!.spec.template.spec.containers;
  const env = Object.fromEntries(
    container.env
      .filter(({ name }: { name: string }) => name !== 'CONFIG_FILE')
      .map(({ name, value }: { name: string; value?: string }) => [
        name,
        value ?? (name === 'DATABASE_URL' ? 'postgres://u:p@db/x' : 'amqps://u:p@broker'),
      ]),
  );
  assert.deepEqual(problemsOf(file, { HOST: '0.0.0.0', ...env }), []);
});

test('the tier of docs/adding-a-domain.md is one that the service takes', () => {
  const [, yaml] = /```yaml\n([\s\S]*?)```/.exec(read('docs/adding-a-domain.md'))!;
  const others =
    'frontier: {model: claude-sonnet-4, endpoint: anthropic}\n  coding: {model: m, endpoint: anthropic}';
  const whole = yaml!.replace('tier_models:\n', `tier_models:\n  ${others}\n`);
  const tiers = 'documentation code-general code-vision code-embedded ui-design'
    .split(' ')
    .map((domain) => `  ${domain}: {default_tier: reviewer}`);
  assert.deepEqual(problemsOf(`${whole}workers:\n${tiers.join('\n')}\n`), []);
});

test('the Kubernetes example is valid by the schemas of its kinds', () => {
  const modules: Record<string, string> = {
    'apps/v1': 'kubernetes-models/apps/v1',
    v1: 'kubernetes-models/v1',
  };
  modules['policy/v1'] = 'kubernetes-models/policy/v1';
  modules['keda.sh/v1alpha1'] = '@kubernetes-models/keda/keda.sh/v1alpha1';
  const documents = kubernetes();
  assert.ok(documents.length >= 6);
  for (const document of documents) {
    const kinds = require(modules[document.apiVersion]!);
    const validated = new kinds[document.kind](document);
    assert.doesNotThrow(() => validated.validate(), document.kind);
  }
  const broken = new (require('kubernetes-models/apps/v1').Deployment)({ spec: { replicas: 'two' } });
  assert.throws(() => broken.validate());
});

// biome-ignore lint/suspicious/noExplicitAny: each kind has its own shape
function kubernetes(): any[] {
  const documents = parseAllDocuments(read('deploy/kubernetes/worker-service.yaml'));
  // An anchor of one document is not known in the next one.
  return documents.map((document) => {
    assert.deepEqual(document.errors, []);
    return document.toJS();
  });
}

test.run();
