import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { eventData, parseEvent } from '../../contracts/parse-event.js';

const test = suite('events from messages');
const structured = 'application/cloudevents+json';
const task = { task_id: 'task-1', description: 'Do it', domain: 'code-general' };
const bytesOf = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const read = (value: unknown, contentType?: string, headers: Record<string, unknown> = {}) =>
  parseEvent({ body: bytesOf(value), contentType, headers });
const envelope = (fields: object) => ({ specversion: '1.0', id: 'e', source: 's', type: 't', ...fields });
const base64 = (text: string) => Buffer.from(text).toString('base64');

/** What is wrong with it, by path. */
function faultsOf(value: unknown, contentType?: string): string[] {
  const { parsed } = read(value, contentType);
  assert.equal(parsed.kind, 'invalid');
  return parsed.kind === 'invalid' ? parsed.violations.map(({ path, message }) => `${path} ${message}`) : [];
}

test('a task is found bare, in an envelope, in base64 and in a text', () => {
  const ways: [unknown, string?][] = [
    [task],
    [task, 'application/json'],
    [envelope({ data: task })],
    [envelope({ data: task }), 'application/json'],
    [envelope({ data: task }), 'Application/CloudEvents+JSON; charset=utf-8'],
    [envelope({ data_base64: base64(JSON.stringify(task)) }), structured],
    [envelope({ data: JSON.stringify(task) }), structured],
  ];
  for (const [value, contentType] of ways) {
    const { parsed, claims } = read(value, contentType);
    assert.equal(parsed.kind === 'task' && parsed.task.task_id, 'task-1', JSON.stringify(value));
    assert.deepEqual(claims, { taskId: 'task-1', domain: 'code-general' });
    assert.deepEqual(eventData({ body: bytesOf(value), contentType }), task);
  }
});

test('an envelope without sense says which attribute is wrong, and its data is no task but names one', () => {
  const claimed = { taskId: 'task-1', domain: 'code-general' };
  const nothing = { taskId: undefined, domain: undefined };
  for (const [value, fault, claims] of [
    [{ id: 'e', data: task }, '/specversion must be "1.0"', claimed],
    [envelope({ specversion: '0.3', data: task }), '/specversion must be "1.0"', claimed],
    [envelope({ specversion: 1, data: task }), '/specversion must be "1.0"', claimed],
    [envelope({}), '/data is required', nothing],
    [envelope({ data: 'a text' }), '/data must be of type object', nothing],
  ] as const) {
    assert.deepEqual(faultsOf(value, structured), [fault]);
    assert.deepEqual(read(value, structured).claims, claims);
    assert.equal(eventData({ body: bytesOf(value), contentType: structured }), undefined);
  }
  const [fault] = faultsOf(envelope({ data_base64: base64('{') }), structured);
  assert.match(fault!, /^\/data_base64 the data /);
});

test('what is no JSON is malformed, with the attributes that its headers tell', () => {
  const { parsed, attributes, claims } = read('{', structured, { traceparent: 't' });
  assert.equal(parsed.kind, 'malformed');
  assert.deepEqual([attributes, claims], [{ traceparent: 't' }, { taskId: undefined, domain: undefined }]);
  assert.equal(eventData({ body: bytesOf('{'), contentType: undefined }), undefined);
});

test('attributes come from headers with any of the usual prefixes, in any case; an envelope is heard before them', () => {
  for (const prefix of ['cloudEvents:', 'cloudEvents_', 'CLOUDEVENTS:', 'ce-', 'ce_', '']) {
    const headers = { [`${prefix}CorrelationId`]: 'c', [`${prefix}other`]: 'o', [`${prefix}id`]: 7 };
    assert.deepEqual(read(task, undefined, headers).attributes, { correlationid: 'c' }, prefix);
  }
  const { attributes } = read(
    envelope({ data: task, correlationid: 'of the envelope', tracestate: 7, expirytime: 'x' }),
    structured,
    { correlationid: 'of a header', traceparent: 't' },
  );
  assert.deepEqual(attributes, {
    correlationid: 'of the envelope',
    traceparent: 't',
    expirytime: 'x',
  });
});

test('an attribute in a header makes no envelope of a task', () => {
  const { parsed } = read(task, 'application/json', { 'cloudEvents:specversion': '1.0' });
  assert.equal(parsed.kind, 'task');
});

test('what is not a task still says whose it is, as far as that is an id', () => {
  const claims = (value: unknown) => read(value).claims;
  assert.deepEqual(claims({ task_id: 'a', domain: 'cooking' }), { taskId: 'a', domain: 'cooking' });
  assert.deepEqual(claims({ task_id: '../etc', domain: 'x'.repeat(65) }), {
    taskId: undefined,
    domain: 'x'.repeat(64),
  });
  const most = 'a'.repeat(128);
  assert.equal(claims({ task_id: most }).taskId, most);
  assert.equal(claims({ task_id: `${most}a` }).taskId, undefined);
  for (const value of [[], 'text', null, { task_id: 7, domain: 7 }])
    assert.deepEqual(claims(value), { taskId: undefined, domain: undefined });
});

test.run();
