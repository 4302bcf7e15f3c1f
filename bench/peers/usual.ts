import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import Fastify from 'fastify';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_harmony';
import { open } from 'lmdb';
import Mustache from 'mustache';
import OpenAI from 'openai';
import { Counter, Histogram, Registry } from 'prom-client';
import { Task } from '../../contracts/task.js';
import { domains } from '../../domains/registry.js';
import { tierModels } from './tiers.js';

/**
 * The same job as one would usually write it: Fastify with its schema and its logger, the openai package streaming,
 * ajv on the output, a tokenizer inline, the outcome in LMDB, metrics of prom-client. The schemas, the prompt and the
 * store's library are the service's; the tokenizer is the fastest of the libraries. `node usual.js GATEWAY_URL
 * DIRECTORY [GATEWAY_URL_OF_LARGE]`
 */
const [gatewayUrl, directory, largeUrl = gatewayUrl] = process.argv.slice(2) as [string, string, string?];

const clientOf = (baseURL: string) =>
  new OpenAI({ baseURL, apiKey: 'none', maxRetries: 2, timeout: 120_000 });
const openai = clientOf(gatewayUrl);
const openaiOfLarge = clientOf(largeUrl);
const store = open<StoredOutcome, string>({ path: directory });
const template = partsOf(
  readFileSync(fileURLToPath(new URL('../../../prompts/workers/code_general.md', import.meta.url)), 'utf8'),
);
Mustache.escape = (text) => text;
const isOutput = new Ajv({ strict: false }).compile(plain(domains.get('code-general')!.output));

const registry = new Registry();
const requests = new Counter({
  name: 'requests_total',
  help: 'Tasks.',
  labelNames: ['status'],
  registers: [registry],
});
const latency = new Histogram({
  name: 'latency_seconds',
  help: 'Latency.',
  labelNames: ['tier'],
  registers: [registry],
});

const app = Fastify({
  logger: true,
  bodyLimit: 8 * 1024 * 1024,
  ajv: { customOptions: { removeAdditional: false, coerceTypes: false, strict: false } },
});

app.post<{ Body: Task }>('/execute', { schema: { body: plain(Task) } }, async (request, reply) => {
  const startedAt = performance.now();
  const task = request.body;
  const tier = task.tier ?? 'small';
  const hash = createHash('sha256').update(JSON.stringify(task)).digest('hex');
  const known = store.get(task.task_id);
  if (known !== undefined && known.hash !== hash) return refused(reply, 409, 'task_conflict');
  if (known !== undefined) return known.outcome;
  if (!Object.hasOwn(tierModels, tier)) return refused(reply, 400, 'unknown_tier');
  const { model, window, maxOutputTokens } = tierModels[tier]!;

  const view = { ...task, tier, max_output_tokens: maxOutputTokens };
  const system = Mustache.render(template.system, view);
  const user = Mustache.render(template.user, view);
  const promptTokens = countTokens(system) + countTokens(user);
  if (promptTokens + maxOutputTokens > window) return refused(reply, 422, 'context_overflow');

  const cancelled = new AbortController();
  reply.raw.once('close', () => cancelled.abort());
  const client = tier === 'large' ? openaiOfLarge : openai;
  const stream = await client.chat.completions.create(
    {
      model,
      messages: [
        { role: 'system', content: system },
        { role: 'user', content: user },
      ],
      temperature: 0.2,
      max_tokens: maxOutputTokens,
      stream: true,
      stream_options: { include_usage: true },
    },
    { signal: cancelled.signal, headers: { 'x-task-id': task.task_id } },
  );
  let text = '';
  let usage: OpenAI.CompletionUsage | undefined;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? '';
    usage = chunk.usage ?? usage;
  }
  const completionTokens = countTokens(text);
  const { status, ...output } = JSON.parse(text) as { status: string; content: string };
  if (status !== 'completed' || !isOutput(output)) return refused(reply, 502, 'output_invalid');

  const outcome = {
    task_id: task.task_id,
    status,
    tier,
    model,
    output,
    artifact_id: createHash('sha256').update(text).digest('hex'),
    tokens_used: {
      prompt: usage?.prompt_tokens ?? promptTokens,
      completion: usage?.completion_tokens ?? completionTokens,
    },
    execution_time_ms: performance.now() - startedAt,
  };
  await store.put(task.task_id, { hash, outcome });
  await store.flushed;
  requests.inc({ status });
  latency.observe({ tier }, (performance.now() - startedAt) / 1000);
  request.log.info({ event: 'task_completed', task_id: task.task_id, tier, model, tokens: completionTokens });
  return outcome;
});

await app.listen({ host: '127.0.0.1', port: 0 });
console.log(JSON.stringify({ event: 'listening', port: (app.server.address() as AddressInfo).port }));
process.once('SIGTERM', () => {
  void app.close().then(() => process.exit(0));
});

interface StoredOutcome {
  readonly hash: string;
  readonly outcome: object;
}

function refused(
  reply: { code(status: number): { send(body: object): unknown } },
  status: number,
  code: string,
) {
  requests.inc({ status: code });
  return reply.code(status).send({ code });
}

/** The file has a comment above its first marker. */
function partsOf(text: string): { readonly system: string; readonly user: string } {
  const [, system, user] = text.split(/^<!-- (?:system|user) -->\n/m);
  return { system: system!, user: user! };
}

/** A schema as JSON, without what TypeBox keeps beside it. */
function plain(schema: object): object {
  return JSON.parse(JSON.stringify(schema)) as object;
}
