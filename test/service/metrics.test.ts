import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { aSlowReader, aTask, atService, type ServiceUnderTest, until } from './at-service.js';

const test = suite('the metrics');
let service: ServiceUnderTest;

test.before(async () => {
  service = await atService(`gateway: {backoff_base_ms: 1, backoff_max_ms: 2}
models: {"gemma3:12b": {context_window: 20000000, max_output_tokens: 15000000}}`);
});
test.after(() => service.close());

/** The value of a line of the text format. */
async function value(name: string, labels: Record<string, string> = {}): Promise<number> {
  const { text } = await service.ask('GET', '/metrics');
  const wanted = Object.entries(labels).map(([key, text]) => `${key}="${text}"`);
  const line = text
    .split('\n')
    .find(
      (each) =>
        (each.startsWith(`${name}{`) || each.startsWith(`${name} `)) &&
        wanted.every((label) => each.includes(label)),
    );
  return Number(line?.split(' ').at(-1) ?? 0);
}

test('a task is counted with its tier, domain and outcome', async () => {
  const of = { tier: 'small', domain: 'code-general', status: 'completed', final: 'true' };
  const before = await value('worker_service_tasks_total', of);
  const { body } = await service.execute(aTask());
  assert.equal(await value('worker_service_tasks_total', of), before + 1);
  const { model, tokens } = body;
  const counted = await value('worker_service_tokens_total', { model, direction: 'completion' });
  assert.equal(counted, tokens.completion);
  assert.equal(await value('worker_service_task_duration_seconds_count', { tier: 'small' }), 1);
  assert.equal(await value('worker_service_first_token_seconds_count', { tier: 'small' }), 1);
});

test('tokens that the gateway counts can be held against our own count of them', async () => {
  const of = (direction: string, counted_by: string) =>
    value('worker_service_usage_tokens_total', { direction, counted_by });
  const all = async () => [
    await of('prompt', 'gateway'),
    await of('completion', 'gateway'),
    await of('prompt', 'tokenizer'),
    await of('completion', 'tokenizer'),
  ];
  const before = await all();
  await service.knobs({ output: '{"content": "pass", "language": "python"}' });
  const { body } = await service.execute(aTask());
  const after = await all();
  const grown = after.map((count, at) => count - before[at]!);
  assert.deepEqual(grown.slice(0, 2), [body.tokens.prompt, body.tokens.completion]);
  assert.ok(grown[2]! > 100 && grown[3]! > 5, String(grown));
});

test('a failure is counted with its code, and each attempt with its kind', async () => {
  await service.knobs({ script: [{ status: 503 }, { refusal: 'no' }] });
  await service.execute(aTask());
  assert.equal(await value('worker_service_tasks_total', { status: 'failed', code: 'refused' }), 1);
  assert.equal(await value('worker_service_attempts_total', { kind: 'first', ended: 'rejected' }), 1);
  assert.equal(await value('worker_service_attempts_total', { kind: 'retry', ended: 'finished' }), 1);
});

test('requests are counted by route and status, whatever their path', async () => {
  await service.ask('GET', '/tasks/nobody');
  await service.ask('GET', '/api/v1/tasks/nobody-else');
  await service.ask('GET', '/nowhere/a/b');
  const counts = (endpoint: string) => value('worker_service_requests_total', { endpoint, status: '404' });
  assert.deepEqual([await counts('/tasks/:id'), await counts('none')], [2, 1]);
});

test('nothing that a caller names becomes a label', async () => {
  const word = 'a-word-of-the-caller';
  const send = (task: object) =>
    service.execute(task, { 'user-agent': word, authorization: `Bearer ${word}` });
  await send(aTask({ domain: word }));
  await send(aTask({ tier: word }));
  await send(aTask({ model: word, project_id: word, [word]: word }));
  for (const path of ['', '/tasks', '/artifacts', '/api/v1/tasks', '/execute', '/health'])
    for (const method of ['GET', 'PUT', 'POST', 'DELETE'] as const)
      await service.ask(method, `${path}/${word}?${word}=${word}`);
  const { text } = await service.ask('GET', '/metrics');
  assert.equal(text.includes(word), false);
});

test('the state of slots, circuits and dependencies is there', async () => {
  const { text, headers } = await service.ask('GET', '/metrics');
  assert.match(String(headers['content-type']), /^text\/plain; version=0\.0\.4/);
  for (const line of [
    'worker_service_slots_used{tier="small"} 0',
    'worker_service_slots_waiting{tier="small"} 0',
    'worker_service_endpoint_breaker{endpoint="vllm_gpu"} 0',
    'worker_service_dependency_status{dependency="store"} 1',
    'worker_service_dependency_status{dependency="model_gateway"} 1',
    'worker_service_dependency_status{dependency="rag"} 1',
    'worker_service_outbox_oldest_seconds 0',
  ])
    assert.ok(text.includes(`${line}\n`), line);
});

test('a stream is counted whose reader goes away without having read it', async () => {
  const of = { endpoint: '/execute', status: '200' };
  const before = await value('worker_service_requests_total', of);
  await service.knobs({ outputBytes: 4_000_000 });
  const task = aTask();
  const reader = aSlowReader(service, task, 'text/event-stream');
  await until(async () => (await service.stats()).byTask[task.task_id] === 1, 'the call');
  // One who is not behind brings the task to its end.
  assert.equal((await service.execute(task)).status, 200);
  assert.equal(await value('worker_service_requests_total', of), before + 1);
  reader.destroy();
  await until(async () => (await value('worker_service_requests_total', of)) === before + 2, 'both');
});

test.run();
