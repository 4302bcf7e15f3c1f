import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DiagnosticSeverity, Parser } from '@asyncapi/parser';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { packageRoot } from '../../config/package-root.js';
import {
  TaskCancelledEvent,
  TaskFailedEvent,
  TaskOutputCreatedEvent,
  TaskReadyEvent,
} from '../../contracts/events.js';
import { failures } from '../../contracts/failures.js';
import { Completed } from '../../contracts/outcome.js';
import { Problem } from '../../contracts/problem.js';
import { taskValidator } from '../../contracts/task.js';
import { compile } from '../../contracts/validator.js';
import { domains } from '../../domains/registry.js';
import { asyncApiDocument } from '../../server/documents/asyncapi.js';
import { openApiDocument } from '../../server/documents/openapi.js';

// biome-ignore lint/suspicious/noExplicitAny: documents are read as anybody reads them, without their types
type Document = any;

const root = fileURLToPath(packageRoot);
const openApi: Document = openApiDocument();
const asyncApi: Document = asyncApiDocument();

const request =
  '{"task_id": "task-123", "description": "Create fibonacci function", "domain": "code-general", "tier": "small", "context": "..."}';
const response =
  '{"task_id": "task-123", "artifact_id": "art-789", "status": "completed", "output": {"content": "def fibonacci..."}, "tokens_used": 450}';

function run(...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' },
  });
  return { status, output: stdout + stderr };
}

test('the request of the specification is a task, letter for letter', () => {
  assert.equal(taskValidator.violations(JSON.parse(request)), []);
  const examples = openApi.paths['/execute'].post.requestBody.content['application/json'].examples;
  assert.equal(examples.specification.value, JSON.parse(request));
});

test('the response of the specification is a completed outcome, letter for letter', () => {
  assert.equal(compile(Completed).violations(JSON.parse(response)), []);
  const examples = openApi.paths['/execute'].post.responses[200].content['application/json'].examples;
  assert.equal(examples.specification.value, JSON.parse(response));
});

test('the documents are as the code would write them', () => {
  const { status, output } = run('dist/server/documents/write.js', '--check');
  assert.is(status, 0, output);
});

test('both documents pass the linter', () => {
  const { status, output } = run(
    'node_modules/.bin/redocly',
    'lint',
    '--max-problems=20',
    'contracts/openapi.yaml',
    'contracts/asyncapi.yaml',
  );
  assert.is(status, 0, output);
  assert.not.match(output, /You have \d+ warning/);
});

test('the AsyncAPI document parses without errors', async () => {
  const source = readFileSync(new URL('contracts/asyncapi.yaml', packageRoot), 'utf8');
  const { document, diagnostics } = await new Parser().parse(source);
  const errors = diagnostics.filter(({ severity }) => severity === DiagnosticSeverity.Error);
  assert.equal(
    errors.map(({ path, message }) => `${path.join('.')}: ${message}`),
    [],
  );
  assert.is(document?.version(), '3.0.0');
});

test('the documents read the same in YAML 1.1 and 1.2', () => {
  for (const [name, document] of Object.entries({ openapi: openApi, asyncapi: asyncApi })) {
    const text = readFileSync(new URL(`contracts/${name}.yaml`, packageRoot), 'utf8');
    assert.equal(parse(text, { version: '1.2' }), document);
    assert.equal(parse(text, { version: '1.1' }), document);
  }
});

test('the documents carry the version of the package', () => {
  const { version } = JSON.parse(readFileSync(new URL('package.json', packageRoot), 'utf8'));
  for (const name of ['openapi', 'asyncapi']) {
    const document = parse(readFileSync(new URL(`contracts/${name}.yaml`, packageRoot), 'utf8'));
    assert.is(document.info.version, version);
  }
});

test('every route is in the document, and no other', () => {
  const server = readFileSync(new URL('server/http/server.ts', packageRoot), 'utf8');
  const served = [...server.matchAll(/\b(get|post|del|put|patch)\(\s*`\$\{prefix\}(\/[^`]*)`/g)].map(
    ([, method, path]) => `${method === 'del' ? 'delete' : method} ${path!.replaceAll(/:\w+|\{\w+\}/g, '*')}`,
  );
  const methods = ['get', 'post', 'delete', 'put', 'patch'];
  const documented = Object.entries<Document>(openApi.paths).flatMap(([path, item]) =>
    Object.keys(item)
      .filter((key) => methods.includes(key))
      .map((method) => `${method} ${path.replaceAll(/\{\w+\}/g, '*')}`),
  );
  assert.ok(served.length > 0);
  assert.equal(documented.sort(), served.sort());
});

test('every problem example is what the table of failures makes of its code', () => {
  const validator = compile(Problem);
  for (const item of Object.values<Document>(openApi.paths)) {
    for (const { responses = {} } of Object.values<Document>(item)) {
      for (const [status, { content }] of Object.entries<Document>(responses)) {
        const examples = content['application/problem+json']?.examples ?? {};
        for (const [code, { value }] of Object.entries<Document>(examples)) {
          assert.equal(validator.violations(value), []);
          assert.is(value.code, code);
          assert.is(failures[code as keyof typeof failures].status, Number(status));
        }
      }
    }
  }
});

test('an output is one of the five domains', () => {
  const { schemas } = openApi.components;
  const named = schemas.Output.anyOf.map(({ $ref }: { $ref: string }) => $ref.split('/').at(-1));
  assert.equal(named, [
    'CodeGeneralOutput',
    'CodeVisionOutput',
    'CodeEmbeddedOutput',
    'DocumentationOutput',
    'UiDesignOutput',
  ]);
  for (const [place, { output }] of [...domains.values()].entries()) {
    const fields = Object.keys((output as Document).properties);
    assert.equal(Object.keys(schemas[named[place]].properties), fields);
  }
});

for (const [name, schema] of Object.entries({
  TaskReady: TaskReadyEvent,
  TaskCancelled: TaskCancelledEvent,
  TaskOutputCreated: TaskOutputCreatedEvent,
  TaskFailed: TaskFailedEvent,
})) {
  const validator = compile(schema);
  const example = () => structuredClone(asyncApi.components.messages[name].examples[0].payload);

  test(`${name}: the example of the document is an event, and may have extensions`, () => {
    assert.equal(validator.violations(example()), []);
    assert.equal(validator.violations({ ...example(), partitionkey: 'a' }), []);
  });

  test(`${name}: what CloudEvents 1.0 requires is required`, () => {
    for (const attribute of ['specversion', 'type', 'source', 'id', 'data']) {
      const { [attribute]: _, ...without } = example();
      assert.equal(validator.violations(without), [{ path: `/${attribute}`, message: 'is required' }]);
    }
    assert.is(validator.violations({ ...example(), specversion: '0.3' })[0]?.path, '/specversion');
  });

  test(`${name}: data without a task_id is refused, with its path`, () => {
    const event = example();
    delete event.data.task_id;
    assert.equal(validator.violations(event), [{ path: '/data/task_id', message: 'is required' }]);
  });
}

test('events that are published have the types and the source that subscribers know', () => {
  const output = asyncApi.components.messages.TaskOutputCreated.examples[0].payload;
  const failed = asyncApi.components.messages.TaskFailed.examples[0].payload;
  assert.is(output.type, 'dats.task.output.created');
  assert.is(failed.type, 'dats.task.failed');
  for (const [event, schema] of [
    [output, TaskOutputCreatedEvent],
    [failed, TaskFailedEvent],
  ]) {
    const validator = compile(schema);
    assert.is(validator.violations({ ...event, type: 'other' })[0]?.path, '/type');
    assert.is(validator.violations({ ...event, source: '/other' })[0]?.path, '/source');
    assert.is(validator.violations({ ...event, time: 'yesterday' })[0]?.path, '/time');
  }
});

test('a task is not lost over the time stamp of its event', () => {
  const event = asyncApi.components.messages.TaskReady.examples[0].payload;
  assert.equal(compile(TaskReadyEvent).violations({ ...event, time: '2026-01-05T09:00:00' }), []);
});

test.run();
