import assert from 'node:assert/strict';
import fc from 'fast-check';
import { createGeneratorSync, type JsonSchema } from 'json-schema-faker';
import { suite } from 'uvu';
import type { GatewayKnobsInput } from '../../bench/simulators/gateway-knobs.js';
import { domainNames } from '../../domains/registry.js';
import { effort, seed, withinReason } from '../fuzz/effort.js';
import { type Answer, aTask, atService, call, type ServiceUnderTest } from './at-service.js';
import { OpenApi, type Operation } from './documented.js';

const test = suite('requests generated from contracts/openapi.yaml');
const openApi = new OpenApi();
const requests = 120 * effort;
const json = { 'content-type': 'application/json' };
const execute: Operation = { path: '/execute', method: 'POST' };
const artifactIds = new Set<string>();
let service: ServiceUnderTest;

test.before(async () => {
  service = await atService(
    'server: {max_body_bytes: 40000}\nqueues: {small: {concurrency: 2, max_waiting: 9, timeout: 2}}\ngateway: {backoff_base_ms: 5, pause_max_ms: 50}',
  );
  await service.knobs({ tokensPerSecond: 20_000, ttftMs: 5 });
});
test.after(() => service.close());

for (const operation of openApi.operations) {
  test(`${operation.method} ${operation.path} answers as documented, whatever is asked`, async () => {
    const bodies = operation.path === '/execute' ? await taskBodies() : requests;
    const paths = pathsOf(operation, typeof bodies === 'number' ? bodies : bodies.length);
    await inParallel(paths, async ({ path, isValid }, index) => {
      const body = typeof bodies === 'number' ? undefined : bodies[index]!;
      const answer = await call(service.url + path, operation.method, body?.bytes, body?.headers);
      if (answer.body?.artifact_id !== undefined) artifactIds.add(answer.body.artifact_id);
      const asked = `${operation.method} ${path} ${String(body?.bytes).slice(0, 500)}`;
      const faults = openApi.faults(operation, answer);
      assert.deepEqual(faults, [], `${asked}\n${answer.status} ${answer.text.slice(0, 500)}`);
      assert.notEqual(answer.status, 500, asked);
      if (body !== undefined) assertVerdict(body.isTask, answer, asked);
      if (!isValid) assert.equal(answer.status, 404, asked);
    });
  });
}

const failing: [name: string, knobs: GatewayKnobsInput, statuses: number[]][] = [
  ['a gateway that is down', { status: 503 }, [503]],
  ['a gateway that names a time', { status: 429, retryAfterSeconds: 3600 }, [503]],
  ['a gateway that does not like it', { status: 400 }, [502]],
  ['a stream that breaks', { cutAfterChunks: 3 }, [502]],
  ['an output of no use', { invalidOutput: 'wrong_shape' }, [502]],
  ['a refusal of the provider', { refusal: 'I cannot help with that.' }, [422]],
  ['a refusal of the model', { output: '{"status": "refused", "reason": "complexity"}' }, [422]],
  ['a question', { output: '{"status": "needs_clarification", "questions": ["Which?"]}' }, [422]],
  ['a gateway that hangs', { hangBeforeHeaders: true }, [504, 429]],
];
for (const [name, knobs, statuses] of failing) {
  test(`what fails is answered as documented: ${name}`, async () => {
    await service.knobs(knobs);
    await inParallel(['application/json', 'text/event-stream'], async (accept) => {
      const answer = await service.execute(aTask(), { accept });
      assert.deepEqual(openApi.faults(execute, answer), [], answer.text);
      assert.ok([...statuses, 200].includes(answer.status), `${answer.status} ${answer.text}`);
      assert.equal(answer.status === 200, accept === 'text/event-stream' && !answer.headers['retry-after']);
    });
  });
}

test('tasks that are cancelled while they run are answered as documented', async () => {
  await service.knobs({ tokensPerSecond: 50 });
  const cancel: Operation = { path: '/tasks/{task_id}', method: 'DELETE' };
  await inParallel(['application/json', 'text/event-stream'], async (accept) => {
    const task = aTask();
    const running = service.execute(task, { accept });
    let answer: Answer;
    do answer = await service.ask('DELETE', `/tasks/${task.task_id}`);
    while (answer.status === 404);
    assert.deepEqual([answer.status, openApi.faults(cancel, answer)], [202, []]);
    assert.deepEqual(openApi.faults(execute, await running), []);
  });
});

test('a method that a route does not have is answered 405 with those that it has', async () => {
  for (const path of Object.keys(openApi.document.paths)) {
    const own = openApi.operations.filter((each) => each.path === path).map(({ method }) => method);
    for (const method of (['GET', 'POST', 'DELETE', 'PUT'] as const).filter(
      (each) => !own.includes(each as never),
    )) {
      const answer = await call(service.url + path.replace(/\{\w+\}/, 'task-1'), method);
      assert.deepEqual([answer.status, answer.body.code], [405, 'method_not_allowed']);
      const allowed = String(answer.headers.allow).split(', ');
      assert.deepEqual(allowed.filter((each) => each !== 'HEAD').sort(), own.sort());
      assert.equal(allowed.includes('HEAD'), allowed.includes('GET'));
      assert.ok(openApi.isA('Problem', answer.body));
    }
  }
});

test.run();

/** What the document calls a task is taken for one, and nothing else is. */
function assertVerdict(isTask: boolean | undefined, answer: Answer, asked: string): void {
  if (isTask === true) assert.notEqual(answer.status, 400, `${asked}\n${answer.text}`);
  if (isTask === false) assert.equal(answer.status, 400, `${asked}\n${answer.text}`);
}

interface Body {
  readonly bytes: string | Uint8Array;
  readonly headers: Record<string, string>;
  /** Whether the document calls it a task; undefined when it is refused before anybody looks. */
  readonly isTask?: boolean;
}

/** Tasks as the document has them, tasks with one thing changed, and bodies that are no tasks at all. */
async function taskBodies(): Promise<Body[]> {
  const faker = createGeneratorSync({ seed, optionalsProbability: 0.3 });
  const schema = withinReason({
    ...openApi.document.components.schemas.Task,
    components: openApi.document.components,
  }) as JsonSchema;
  const tasks = Array.from({ length: requests }, () => faker.generate(schema) as Record<string, unknown>);
  const pick = <T>(from: readonly T[], index: number) => from[index % from.length]!;
  // Few ids, so that tasks are joined and recalled; some with another body, so that they are in conflict.
  const known = tasks.map(
    (task, index): Record<string, unknown> => ({
      ...pick(tasks, index % 20),
      ...(index % 7 === 0 && task),
      task_id: `generated-${index % 20}`,
    }),
  );
  const accepted = [...tasks, ...known].map((task, index) => ({
    ...task,
    ...(index % 11 > 0 && { domain: pick(domainNames, index) }),
    ...(index % 10 > 0 && task.tier !== undefined && { tier: 'small' }),
  }));
  const changes = fc.sample(
    fc.tuple(fc.constantFrom(...fieldsOf(openApi.document), 'surprise'), fc.jsonValue()),
    { seed: 2, numRuns: requests },
  );
  const changed = changes.map(([field, value], index) => {
    const { [field]: _, ...without } = pick(tasks, index) as Record<string, unknown>;
    return index % 4 === 0 ? without : { ...without, [field]: value };
  });
  const noTasks = fc.sample(fc.oneof(fc.json(), fc.uint8Array({ maxLength: 200 })), { seed: 3, numRuns: 50 });
  return [
    ...[...accepted, ...changed].map((task, index) => ({
      bytes: JSON.stringify(task),
      headers: { ...json, ...(index % 5 === 0 && { accept: 'text/event-stream' }) },
      isTask: openApi.isA('Task', task),
    })),
    ...noTasks.map((bytes) => ({ bytes, headers: json, isTask: false })),
    { bytes: JSON.stringify({ ...tasks[0], context: 'x'.repeat(50_000) }), headers: json },
    { bytes: '{}', headers: { 'content-type': 'text/plain' } },
    { bytes: '{}', headers: {} },
  ];
}

function fieldsOf(document: OpenApi['document']): string[] {
  return Object.keys(document.components.schemas.Task.properties);
}

/** Paths under both prefixes; ids that exist, ids that do not, and texts that are no ids. */
function pathsOf({ path }: Operation, count: number): { path: string; isValid: boolean }[] {
  const noIds = fc
    .string({ unit: 'binary', minLength: 1, maxLength: 40 })
    .filter((text) => !/^\.{1,2}$/.test(text));
  const id = fc.oneof(
    ...(path.includes('{artifact_id}') ? [fc.constantFrom(...artifactIds)] : []),
    fc.integer({ min: 0, max: 19 }).map((index) => `generated-${index}`),
    fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$/),
    noIds,
  );
  return fc
    .sample(fc.tuple(fc.constantFrom('', '/api/v1'), id), { seed: 4, numRuns: count })
    .map(([prefix, text]) => ({
      path: prefix + path.replace(/\{\w+\}/, encodeURIComponent(text)),
      isValid: !path.includes('{') || openApi.isA('TaskId', text),
    }));
}

async function inParallel<T>(
  items: readonly T[],
  run: (item: T, index: number) => Promise<void>,
): Promise<void> {
  const left = items.entries();
  const lane = async () => {
    for (const [index, item] of left) await run(item, index);
  };
  await Promise.all(Array.from({ length: 12 }, lane));
}
