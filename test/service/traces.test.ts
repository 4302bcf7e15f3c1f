import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { type CollectedSpan, type Collector, startCollector } from '../servers/collector.js';
import { aTask, atService, oneTier, type ServiceUnderTest, until } from './at-service.js';

const test = suite('traces');
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const sender = '00f067aa0ba902b7';
const CLIENT = 3;
const SERVER = 2;
let collector: Collector;
/** Takes no traces but those whose sender does. */
let service: ServiceUnderTest;

/** OpenTelemetry reads its own variables from the process. */
const ofOpenTelemetry = {
  OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=ours',
  OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
};

test.before(async () => {
  collector = await startCollector();
  Object.assign(process.env, ofOpenTelemetry);
  service = await atService(`${oneTier}\ngateway: {max_attempts: 2, backoff_base_ms: 1, backoff_max_ms: 2}`, {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_TRACES_SAMPLER_ARG: '0',
  });
  for (const name of Object.keys(ofOpenTelemetry)) delete process.env[name];
});
test.after(async () => {
  await service?.close();
  await collector.close();
});

/** The spans of a task, when the last of them has come. */
async function spansOf(task: { task_id: string }): Promise<{ root: CollectedSpan; all: CollectedSpan[] }> {
  const find = () => collector.spans.find(({ attributes }) => attributes['worker.task.id'] === task.task_id);
  await until(() => find() !== undefined, 'the span of the task');
  const root = find()!;
  return { root, all: collector.spans.filter((span) => span.traceId === root.traceId) };
}

const named = (all: readonly CollectedSpan[], name: string) => all.filter((span) => span.name === name);

test('a span for each stage, inside the trace of the sender, on to the RAG service and the gateway', async () => {
  const secret = 'the-secret-recipe';
  const task = aTask({ tier: 'tiny', context: undefined, description: secret });
  const headers = { traceparent: `00-${traceId}-${sender}-01`, tracestate: 'vendor=1' };
  const { status, body } = await service.execute(task, headers);
  assert.equal(status, 200);
  const { root, all } = await spansOf(task);
  assert.deepEqual(all.map(({ name }) => name).sort(), [
    'assemble',
    'chat gemma3:4b',
    'context',
    'execute code-general',
    'first token',
    'record',
    'stream',
    'validate',
    'wait',
  ]);
  assert.deepEqual(
    [root.traceId, root.parentSpanId, root.kind, root.failed],
    [traceId, sender, SERVER, false],
  );
  assert.equal(root.attributes['worker.outcome.status'], 'completed');
  assert.equal(root.resource['service.name'], 'worker-service');
  assert.equal(root.resource['deployment.environment.name'], 'test');
  const [chat] = named(all, 'chat gemma3:4b');
  for (const span of all) {
    assert.ok(span.startNs <= span.endNs, span.name);
    assert.ok(span.startNs >= root.startNs && span.endNs <= root.endNs, span.name);
    const parent = ['first token', 'stream'].includes(span.name) ? chat!.spanId : root.spanId;
    if (span !== root) assert.equal(span.parentSpanId, parent, span.name);
  }
  assert.equal(chat!.kind, CLIENT);
  const { 'gen_ai.response.time_to_first_chunk': toFirst, ...attributes } = chat!.attributes;
  assert.ok(toFirst > 0 && toFirst < 60);
  const [seen] = (await service.stats()).requests.slice(-1);
  assert.deepEqual(attributes, {
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'openai',
    'gen_ai.request.model': 'gemma3:4b',
    'gen_ai.request.max_tokens': attributes['gen_ai.request.max_tokens'],
    'gen_ai.request.stream': true,
    'gen_ai.output.type': 'json',
    'gen_ai.response.model': body.model,
    'gen_ai.usage.input_tokens': body.tokens.prompt,
    'gen_ai.usage.output_tokens': body.tokens.completion,
    'gen_ai.response.finish_reasons': ['stop'],
    'server.address': '127.0.0.1',
    'server.port': Number(seen.headers.host.split(':')[1]),
    'worker.endpoint': 'ollama_gpu_general',
    'worker.call.tier': 'tiny',
    'worker.attempt.number': 1,
    'worker.attempt.kind': 'first',
  });
  assert.equal(seen.headers.traceparent, `00-${traceId}-${chat!.spanId}-01`);
  assert.equal(seen.headers.tracestate, 'vendor=1');
  const [asked] = (await service.ragStats()).requests.slice(-1);
  assert.equal(asked.headers.traceparent, `00-${traceId}-${named(all, 'context')[0]!.spanId}-01`);
  const [line] = service.logged.slice(-1) as { trace_id: string }[];
  assert.equal(line!.trace_id, traceId);
  assert.ok(!collector.bodies.join().includes(secret));
});

test('what fails is told with its reason, each attempt for itself', async () => {
  await service.knobs({ status: 503, body: 'marker' });
  const task = aTask({ tier: 'tiny' });
  const failing = traceId.replace('4', '5');
  assert.equal((await service.execute(task, { traceparent: `00-${failing}-${sender}-01` })).status, 503);
  await service.knobs({});
  const { root, all } = await spansOf(task);
  assert.deepEqual([root.failed, root.attributes['error.type']], [true, 'gateway_unavailable']);
  const chats = named(all, 'chat gemma3:4b');
  assert.deepEqual(
    chats.map(({ failed, attributes }) => [
      failed,
      attributes['error.type'],
      attributes['worker.attempt.kind'],
    ]),
    [
      [true, 'rejected', 'first'],
      [true, 'rejected', 'retry'],
    ],
  );
  assert.equal(named(all, 'wait').length, 2);
  assert.ok(!collector.bodies.join().includes('marker'));
});

test('what is not sampled is not told, and the gateway hears that it is not', async () => {
  const unsampled = aTask();
  const other = traceId.replace('4', '6');
  await service.execute(unsampled, { traceparent: `00-${other}-${sender}-00` });
  const [seen] = (await service.stats()).requests.slice(-1);
  assert.match(seen.headers.traceparent, new RegExp(`^00-${other}-[0-9a-f]{16}-00$`));
  const begunHere = aTask();
  await service.execute(begunHere);
  const [also] = (await service.stats()).requests.slice(-1);
  assert.match(also.headers.traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
});

test('what ended just before the stop is told, too, and nothing that was not sampled', async () => {
  const task = aTask();
  await service.execute(task, { traceparent: `00-${traceId}-${sender}-01` });
  await service.stop();
  const told = collector.spans.flatMap(({ attributes }) => attributes['worker.task.id'] ?? []);
  assert.equal(told.length, 3);
  assert.ok(told.includes(task.task_id));
  assert.ok(collector.headers.every((headers) => headers['x-tenant'] === 'ours'));
});

test('without its collector the service goes on, says so, and stops', async () => {
  const alone = await atService(oneTier, { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' });
  try {
    const { logged, execute } = alone;
    assert.equal((await execute(aTask())).status, 200);
    await until(
      () => logged.some((line) => (line as { event: string }).event === 'traces'),
      'a line in the log',
    );
    assert.equal((await execute(aTask())).status, 200);
  } finally {
    await alone.close();
  }
});

test('OpenTelemetry is loaded only where traces are taken', async () => {
  const loads = async (env: Record<string, string>) => {
    const directory = mkdtempSync(join(tmpdir(), 'loaded-'));
    const child = spawn(process.execPath, ['dist/server/main.js'], {
      // What V8 covers is what was loaded.
      env: {
        ...process.env,
        NODE_V8_COVERAGE: directory,
        DATA_DIR: join(directory, 'data'),
        SERVICE_PORT: '0',
        WORKERS: '1',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      for await (const text of child.stdout) if (String(text).includes('"listening"')) break;
      child.kill('SIGTERM');
      await new Promise((resolve) => child.once('exit', resolve));
      return readdirSync(directory)
        .filter((name) => name.startsWith('coverage-'))
        .some((name) => readFileSync(join(directory, name), 'utf8').includes('@opentelemetry/sdk-trace/'));
    } finally {
      child.kill('SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    }
  };
  assert.equal(await loads({}), false);
  assert.equal(await loads({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }), true);
});

test('spans lie within their task while the clock of the machine is set', async () => {
  const spans = await startCollector();
  const traced = await atService(oneTier, { OTEL_EXPORTER_OTLP_ENDPOINT: spans.url });
  const now = Date.now;
  let asked = 0;
  try {
    Date.now = () => now() + (asked++ % 3) * 40;
    assert.equal((await traced.execute(aTask({ tier: 'tiny' }))).status, 200);
    Date.now = now;
    await until(() => spans.spans.length === 9, 'all spans');
    const root = spans.spans.find(({ kind }) => kind === SERVER)!;
    for (const span of spans.spans)
      assert.ok(span.startNs >= root.startNs && span.endNs <= root.endNs, span.name);
  } finally {
    Date.now = now;
    await traced.close();
    await spans.close();
  }
});

test.run();
