import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadConfig } from '../../config/load.js';
import { domainNames } from '../../domains/registry.js';
import { aConfig, domains } from './a-config.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const specification = readFileSync(`${root}test/config/specification.yaml`, 'utf8');

/** Plain data; tables have no prototype, which `assert.equal` would mind. */
const plain = (value: unknown) => JSON.parse(JSON.stringify(value));

test('the specification alone, an empty file, comments alone and the shipped file are the same configuration', () => {
  const shipped = loadConfig({ env: {}, domains });
  for (const text of [specification, '', '# nothing\n', '---\n']) {
    assert.equal(plain(aConfig(text)), plain(shipped));
  }
});

test('the shipped file starts with the specification, letter for letter', () => {
  assert.ok(readFileSync(`${root}config/worker-service.yaml`, 'utf8').startsWith(specification));
});

test('the domains of the registry all have a worker with a template that exists', () => {
  const { workers, prompts } = loadConfig({ env: {}, domains: domainNames });
  assert.equal(Object.keys(workers).sort(), [...domainNames].sort());
  for (const { prompt_template } of Object.values(workers)) {
    assert.ok(readFileSync(`${prompts.directory}/${prompt_template}`, 'utf8').length > 0);
  }
});

test('an empty file has the documented defaults', () => {
  const config = plain(aConfig(''));
  assert.equal(config.server, {
    host: '127.0.0.1',
    port: 8000,
    max_body_bytes: 8_388_608,
    body_timeout_ms: 10_000,
    stream_keep_alive_ms: 15_000,
    write_timeout_ms: 120_000,
    workers: availableParallelism(),
    worker_timeout_ms: 30_000,
    grace_period_ms: 30_000,
    allow_unauthenticated: false,
    page: true,
    docs: true,
    max_tasks_per_caller: 0,
    max_connections: 0,
  });
  assert.equal(config.workers['code-embedded'], {
    prompt_template: 'workers/code_embedded.md',
    default_tier: 'small',
    temperature: 0.2,
  });
  assert.equal(config.workers['ui-design'].default_tier, 'large');
  assert.equal(config.tier_models.coding, {
    model: 'qwen3-coder:30b-a3b-q8_0-64k',
    endpoint: 'ollama_cpu_large',
    fallback: [],
  });
  assert.equal(config.queues.coding, {
    concurrency: 2,
    timeout: 300,
    max_waiting: 256,
    events_share: 0.2,
    threads: 1,
    nice: 10,
    adaptive: false,
    min_concurrency: 1,
  });
  assert.equal(config.queues.frontier, {
    concurrency: 1,
    timeout: 600,
    max_waiting: 256,
    events_share: 0.2,
    threads: 1,
    nice: 10,
    adaptive: false,
    min_concurrency: 1,
  });
  assert.equal(config.endpoints.anthropic, {
    protocol: 'chat_completions',
    stream: true,
    response_format: 'none',
    max_tokens_field: 'max_tokens',
  });
  assert.equal(config.gateway, {
    max_attempts: 3,
    backoff_base_ms: 200,
    backoff_max_ms: 5000,
    connect_timeout_ms: 5000,
    idle_timeout_ms: 60_000,
    connections: 256,
    max_stream_bytes: 134_217_728,
    breaker_failures: 10,
    breaker_open_ms: 10_000,
    pause_max_ms: 60_000,
  });
  assert.equal(config.rag, {
    timeout_ms: 2000,
    retries: 1,
    max_response_bytes: 8_388_608,
    cache_ttl_seconds: 300,
    cache_max_entries: 1000,
    cache_max_bytes: 67_108_864,
    max_context_tokens: 8192,
    breaker_failures: 5,
    breaker_open_ms: 5_000,
  });
  assert.equal(config.output, { repairs: 1, max_bytes: 4_194_304 });
  assert.equal(config.store, {
    directory: `${root}data`,
    retention_seconds: 604_800,
    max_bytes: 4_294_967_296,
    prune_interval_seconds: 60,
    lease_ms: 10_000,
  });
  assert.equal(config.prompts, { directory: `${root}prompts`, reload: true });
  assert.equal(config.threads, { max_memory_mb: 512 });
  assert.equal(config.embedded, {
    documents: `${root}docs/examples`,
    simulator: { ttftMs: 30, tokensPerSecond: 400 },
  });
  assert.equal(config.log, { level: 'info', prompts: false });
});

test('what is known of a model goes by its family, whose vocabulary is its own', () => {
  const of32k = { context_window: 32_768, max_output_tokens: 9830 };
  const of64k = { context_window: 65_536, max_output_tokens: 19_660 };
  const of200k = { context_window: 200_000, max_output_tokens: 60_000 };
  const own = (tokenizer: string, window: object) => ({ ...window, tokenizer, exact_counts: true });
  const other = { ...of32k, tokenizer: 'o200k_harmony', exact_counts: false };
  const expected = {
    'gemma3:27b': own('gemma3', of32k),
    'google/gemma-3-12b-it': own('gemma3', of32k),
    'gemma-3n-e4b-it': own('gemma3', of32k),
    'openai/gpt-oss-120b': own('o200k_harmony', of32k),
    'Qwen/Qwen3-8B': own('qwen3', of64k),
    'qwen/qwen-3-coder': own('qwen3', of64k),
    'anthropic/claude-x': { ...of200k, tokenizer: 'claude', exact_counts: false },
    'mistral-7b': other,
    'gemma2:9b': other,
    'qwen3.5:9b': { ...own('qwen3', of64k), exact_counts: false },
    qwen30b: other,
  };
  const names = Object.keys(expected);
  const tiers = names.map((model, at) => `  t${at}: {model: "${model}", endpoint: e}`).join('\n');
  const workers = domains.map((domain) => `  ${domain}: {default_tier: t0}`).join('\n');
  const { models } = aConfig(`tier_models:\n${tiers}\nworkers:\n${workers}\n`);
  assert.equal(Object.fromEntries(names.map((name) => [name, models[name]])), expected);
});

test('an entry for a model overrides what is assumed of it, and the output follows the window', () => {
  const { models } = aConfig(
    'models: {"gemma3:4b": {context_window: 131072}, a: {tokenizer: claude}, b: {tokenizer: qwen3}, c: {exact_counts: true}}',
  );
  assert.equal(models['gemma3:4b'], {
    context_window: 131_072,
    max_output_tokens: 39_321,
    tokenizer: 'gemma3',
    exact_counts: true,
  });
  const countingOf = (name: string) => [models[name]?.tokenizer, models[name]?.exact_counts];
  assert.equal(['a', 'b', 'c'].map(countingOf), [
    ['claude', false],
    ['qwen3', true],
    ['o200k_harmony', true],
  ]);
});

test('an entry changes the fields that it names and no other', () => {
  const config = aConfig(`
queues: {small: {concurrency: 9}}
workers: {ui-design: {temperature: 1}}
endpoints: {vllm_gpu: {response_format: json_schema}}
embedded: {simulator: {ttftMs: 0}}
server: {port: 0}
`);
  assert.equal(config.queues.small, {
    concurrency: 9,
    timeout: 120,
    max_waiting: 256,
    events_share: 0.2,
    threads: 1,
    nice: 0,
    adaptive: false,
    min_concurrency: 1,
  });
  assert.equal(config.workers['ui-design'], {
    prompt_template: 'workers/ui_design.md',
    default_tier: 'large',
    temperature: 1,
  });
  assert.equal(config.endpoints.vllm_gpu, {
    protocol: 'chat_completions',
    stream: true,
    response_format: 'json_schema',
    max_tokens_field: 'max_tokens',
  });
  assert.equal(config.embedded.simulator, { ttftMs: 0, tokensPerSecond: 400 });
  assert.is(config.server.port, 0);
  assert.is(config.server.host, '127.0.0.1');
});

test('a section or an entry with nothing below it has the defaults', () => {
  const yaml =
    'server:\nworkers:\n  code-general:\ntier_models:\nqueues:\n  small:\nmodels:\nendpoints:\nembedded:\n  simulator:\n';
  assert.equal(plain(aConfig(yaml)), plain(aConfig('')));
});

test('the tiers of a file are all tiers, and only they have queues, models and endpoints', () => {
  const workers = 'workers: {code-vision: {default_tier: small}, ui-design: {default_tier: small}}';
  const config = aConfig(
    `${workers}\ntier_models: {small: {model: m, endpoint: e}, other: {model: n, endpoint: e}}`,
  );
  assert.equal(Object.keys(config.tier_models), ['small', 'other']);
  assert.equal(Object.keys(config.queues), ['small', 'other']);
  assert.equal(config.queues.other, {
    concurrency: 2,
    timeout: 300,
    max_waiting: 256,
    events_share: 0.2,
    threads: 1,
    nice: 0,
    adaptive: false,
    min_concurrency: 1,
  });
  assert.equal(Object.keys(config.models), ['m', 'n']);
  assert.equal(Object.keys(config.endpoints), ['e']);
});

test('a relative path of the file is taken from the root of the package, an absolute one as it is', () => {
  const config = aConfig(
    'store: {directory: state}\nprompts: {directory: /srv/prompts}\nrabbitmq: {tls_ca_file: ca, tls_key_file: /srv/key, tls_cert_file: c}',
  );
  const { tls_ca_file, tls_key_file } = config.rabbitmq;
  assert.equal([tls_ca_file, tls_key_file], [`${root}ca`, '/srv/key']);
  assert.is(config.store.directory, `${root}state`);
  assert.is(config.prompts.directory, '/srv/prompts');
});

test('the configuration is frozen all the way down', () => {
  const visit = (value: unknown) => {
    if (typeof value !== 'object' || value === null) return;
    assert.ok(Object.isFrozen(value));
    Object.values(value).forEach(visit);
  };
  visit(aConfig('tier_models:\nendpoints: {e: {}}'));
  visit(aConfig(specification));
});

test('two configurations share nothing that one could change for the other', () => {
  const [first, second] = [aConfig(''), aConfig('')];
  assert.is.not(first.tier_models.small?.fallback, second.tier_models.small?.fallback);
  assert.is.not(first.embedded.simulator, second.embedded.simulator);
});

test('a name that every object has is no tier, domain, model or endpoint', () => {
  const { tier_models, workers, queues, models, endpoints } = aConfig('');
  for (const table of [tier_models, workers, queues, models, endpoints]) {
    assert.is(table.constructor, undefined);
    assert.is(table.toString, undefined);
  }
});

test('threads have the memory that the largest document may take', () => {
  assert.is(aConfig('output: {max_bytes: 67108864}').threads.max_memory_mb, 2048);
  assert.is(aConfig('', { MAX_BODY_BYTES: '16777217' }).threads.max_memory_mb, 513);
  assert.is(aConfig('threads: {}\noutput: {max_bytes: 1024}').threads.max_memory_mb, 512);
});

test.run();
