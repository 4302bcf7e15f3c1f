import assert from 'node:assert/strict';
import type { ConsumeMessage } from 'amqplib';
import { suite } from 'uvu';
import { loadConfig } from '../../config/load.js';
import type { FailureCode } from '../../contracts/failures.js';
import { domainNames } from '../../domains/registry.js';
import { handleDelivery } from '../../server/events/delivery.js';
import type { DeliveryParts } from '../../server/events/delivery-parts.js';
import type { Outgoing } from '../../server/events/outgoing.js';
import { namesOf } from '../../server/events/topology.js';
import { aReadyEvent, aTinyTask } from './at-broker.js';

/** Every way that a message can go, which with a real broker and real failures takes minutes. */
const test = suite('what becomes of a message');

const loaded = loadConfig({ env: {}, argv: [], domains: domainNames });
const rabbitmq = {
  ...loaded.rabbitmq,
  max_attempts: 5,
  delivery_limit: 3,
  retry_delays_ms: [10, 20, 30, 4000],
};
const config = { ...loaded, rabbitmq };
const names = namesOf(rabbitmq);

interface Given {
  /** How the task ends; it is completed without. */
  readonly code?: FailureCode | undefined;
  readonly detail?: string;
  readonly retryAfterSeconds?: number;
  /** The endpoint had asked for a pause. */
  readonly wasPaused?: boolean;
  /** Over all messages of the task. */
  readonly attempts?: number;
  readonly final?: boolean;
  readonly suspect?: boolean;
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly properties?: object;
  /** Of the event, beside those that it must have. */
  readonly attributes?: object;
  /** The task runs in this process. */
  readonly isAwaited?: boolean;
  /** In place of an event with a task. */
  readonly content?: Buffer;
  /** The task was submitted with another body. */
  readonly isConflict?: boolean;
  /** The task has ended for good. */
  readonly hasEnded?: boolean;
  readonly isClosing?: boolean;
}

/** Hands a message over: the verdict, what was published, and what was done, in order. */
async function delivered(given: Given) {
  const { code, detail = 'why', final = code === undefined, headers = {}, suspect = false } = given;
  const task = aTinyTask();
  const done: string[] = [];
  const published: [exchange: string, routingKey: string, own: Record<string, unknown>][] = [];
  // biome-ignore lint/suspicious/noExplicitAny: what is submitted is looked into as it comes
  let submitted: any;
  let rejected: unknown;
  const failed = {
    task_id: task.task_id,
    status: 'failed',
    code,
    detail,
    retry_after_seconds: given.retryAfterSeconds,
  };
  const outcome = code === undefined ? { task_id: task.task_id, status: 'completed' } : failed;
  let storeIsAway = code === 'store_unavailable';
  const parts = {
    config,
    names,
    tasks: {
      isAwaited: () => given.isAwaited ?? false,
      submit: (_: unknown, caller: unknown) => {
        if (given.isConflict === true) return { conflict: true };
        done.push('execute');
        submitted = caller;
        const away = { outcome: { ...failed, code: 'store_unavailable' }, final: false };
        const ended = storeIsAway
          ? away
          : { outcome, final, attempts: given.attempts, wasPaused: given.wasPaused };
        if (code === 'store_unavailable' && !storeIsAway)
          ended.outcome = { ...failed, code: 'gateway_error' };
        storeIsAway = false;
        return { ended: Promise.resolve(ended) };
      },
      reject: async (rejection: object) => {
        done.push('reject');
        rejected = rejection;
        return given.hasEnded !== true;
      },
    },
    store: {
      find: async () => (given.hasEnded === true ? { final: true } : undefined),
      noteQueued: async () => void done.push('note'),
      dropQueued: async () => void done.push('drop the note'),
      state: () => ({ ok: true }),
    },
    outbox: { confirmed: async () => void done.push('confirmed') },
    publisher: {
      keep: async ({ exchange, routingKey, options }: Outgoing) => {
        published.push([exchange, routingKey, options.headers ?? {}]);
      },
    },
    log: { warn: () => {}, info: () => {} },
    isClosing: () => given.isClosing ?? false,
  } as unknown as DeliveryParts;
  const event = { ...aReadyEvent(task), ...given.attributes };
  const message = {
    content: given.content ?? Buffer.from(JSON.stringify(event)),
    properties: { contentType: 'application/cloudevents+json', headers, ...given.properties },
  } as unknown as ConsumeMessage;
  const verdict = await handleDelivery(parts, { tier: 'tiny', suspect, message });
  return { verdict, published, done, submitted, rejected };
}

test('a message is acked when the event of its end is confirmed, and is a dead letter where that is a failure', async () => {
  for (const code of [undefined, 'cancelled', 'refused', 'needs_clarification', 'output_invalid'] as const) {
    const { verdict, published, done } = await delivered({ code, final: true });
    assert.deepEqual([verdict, published, done], ['ack', [], ['execute', 'confirmed']], code);
  }
  const long = { code: 'gateway_error', final: true, detail: 'x'.repeat(5000) } as const;
  const { verdict, published, done } = await delivered({ ...long, headers: { 'x-attempts': 4 } });
  assert.deepEqual([verdict, done], ['ack', ['execute', 'confirmed']]);
  const queue = names.ready('tiny');
  const own = {
    'x-reason': 'gateway_error',
    'x-detail': 'x'.repeat(1000),
    'x-attempts': 5,
    'x-queue': queue,
  };
  assert.deepEqual(published, [[names.deadLetters, queue, own]]);
});

test('what is no task is a dead letter that says why, and has an event where it names a task that has none', async () => {
  const { task_id, ...data } = aTinyTask({ surprise: 1, domain: 'documentation' });
  const content = Buffer.from(JSON.stringify(aReadyEvent({ task_id, ...data })));
  const reasonOf = (published: Awaited<ReturnType<typeof delivered>>['published']) => {
    const [[exchange, , own], ...others] = published as [(typeof published)[0], ...typeof published];
    assert.deepEqual([exchange, others], [names.deadLetters, []]);
    return [own['x-reason'], own['x-detail']];
  };
  const wrong = await delivered({ content });
  const detail = '/surprise is not a known field';
  assert.deepEqual(reasonOf(wrong.published), ['invalid_request', detail]);
  assert.deepEqual(wrong.done, ['reject', 'confirmed']);
  const rejection = { taskId: task_id, domain: 'documentation', content, code: 'invalid_request', detail };
  assert.deepEqual(wrong.rejected, { ...rejection, origin: undefined });
  assert.deepEqual((await delivered({ content, hasEnded: true })).done, ['reject']);

  const nobody = await delivered({ content: Buffer.from('{') });
  assert.match(String(reasonOf(nobody.published)), /^invalid_request,.*JSON/);
  const large = await delivered({ content: Buffer.alloc(rabbitmq.max_message_bytes + 1) });
  const most = `a message must have at most ${rabbitmq.max_message_bytes} bytes`;
  assert.deepEqual(reasonOf(large.published), ['payload_too_large', most]);
  const other = await delivered({ isConflict: true });
  assert.match(String(reasonOf(other.published)), /^task_conflict,\S/);
  assert.deepEqual(other.done, ['drop the note']);
  for (const { done } of [nobody, large]) assert.deepEqual(done, []);
});

test('what failed for now waits longer after each attempt, and for a slot without having had one', async () => {
  for (const [code, before, after, delay, more] of [
    ['gateway_error', 0, 1, 10, ['note']],
    ['gateway_unavailable', 1, 2, 20, ['note']],
    ['deadline_exceeded', 2, 3, 30, ['note']],
    ['gateway_error', 3, 4, 4000, ['note']],
    ['tier_saturated', 0, 0, 10, ['note']],
    ['tier_saturated', 2, 2, 30, ['note']],
    ['tier_saturated', 9, 9, 4000, ['note']],
    ['internal_error', 3, 4, 4000, ['note']],
  ] as const) {
    const { verdict, published, done } = await delivered({ code, headers: { 'x-attempts': before } });
    assert.deepEqual([verdict, done], ['ack', ['execute', ...more]], code);
    assert.deepEqual(published, [[names.delay(delay), names.ready('tiny'), { 'x-attempts': after }]]);
  }
  const { published, done } = await delivered({ code: 'internal_error', headers: { 'x-attempts': 4 } });
  assert.deepEqual(done, ['execute', 'drop the note']);
  assert.deepEqual([published[0]![0], published[0]![2]['x-attempts']], [names.deadLetters, 5]);
});

test('a message goes on from where another one of its task has come to', async () => {
  const movedOn = async (code: FailureCode, attempts: number) =>
    (await delivered({ code, attempts, final: false, headers: { 'x-attempts': 1 } })).published;
  for (const [code, attempts, after, delay] of [
    ['gateway_error', 1, 2, 20],
    ['gateway_error', 3, 3, 30],
    ['tier_saturated', 0, 1, 20],
    ['tier_saturated', 2, 2, 30],
  ] as const)
    assert.deepEqual(await movedOn(code, attempts), [
      [names.delay(delay), names.ready('tiny'), { 'x-attempts': after }],
    ]);
  const { published } = await delivered({ code: 'gateway_error', final: true, attempts: 5 });
  assert.deepEqual([published[0]![0], published[0]![2]['x-attempts']], [names.deadLetters, 5]);
});

test('the next attempt is due when the delay after the failure is over', async () => {
  const { retries } = (await delivered({})).submitted;
  const failedBefore = (ms: number, attempts: number, retry_after_seconds?: number) => ({
    finishedAt: Date.now() - ms,
    outcome: { status: 'failed', retry_after_seconds },
    origin: { attempts },
  });
  assert.deepEqual([retries.attempt, retries.most], [1, 5]);
  for (const [failure, waits] of [
    [failedBefore(10, 1), false],
    [failedBefore(3000, 4), true],
    [failedBefore(4000, 4), false],
    [failedBefore(3000, 1, 2), true],
  ] as const)
    assert.equal(retries.wait(failure), waits, JSON.stringify(failure));
});

test('what asks for time gets the first delay from its step on that is as long, or the last one', async () => {
  const code = 'gateway_unavailable';
  for (const [before, retryAfterSeconds, delay] of [
    [0, 0, 10],
    [0, 1, 4000],
    [1, 0, 20],
    [0, 4, 4000],
    [0, 5, 4000],
  ] as const) {
    const { published } = await delivered({ code, retryAfterSeconds, headers: { 'x-attempts': before } });
    const own = { 'x-attempts': before + 1 };
    assert.deepEqual(published, [[names.delay(delay), names.ready('tiny'), own]]);
  }
  // An endpoint that had asked for a pause was not called.
  const paused = await delivered({
    code,
    retryAfterSeconds: 1,
    wasPaused: true,
    headers: { 'x-attempts': 2 },
  });
  assert.deepEqual(paused.published, [[names.delay(4000), names.ready('tiny'), { 'x-attempts': 2 }]]);
  // Nobody wants it any longer by then: it is tried once more within its time.
  for (const [expirytime, delay] of [
    [new Date(Date.now() + 3000).toISOString(), 10],
    ['2120-01-01T00:00:00Z', 4000],
  ] as const) {
    const { published } = await delivered({ code, retryAfterSeconds: 1, attributes: { expirytime } });
    assert.equal(published[0]![0], names.delay(delay));
  }
});

test('the last attempt is the one that max_attempts counts, or any after the time of the sender', async () => {
  const lastAttempt = async (given: Given) => (await delivered(given)).submitted.lastAttempt;
  assert.equal(await lastAttempt({ headers: { 'x-attempts': 3 } }), false);
  assert.equal(await lastAttempt({ headers: { 'x-attempts': 4 } }), true);
  assert.equal(await lastAttempt({ attributes: { expirytime: '2020-01-01T00:00:00Z' } }), true);
  assert.equal(await lastAttempt({ attributes: { expirytime: '2120-01-01T00:00:00Z' } }), false);
});

test('the time of the sender is the earliest of those that he names, and goes along with the message', async () => {
  const timestamp = 4_000_000_000;
  const property = { properties: { expiration: '60000', timestamp } };
  const inMs = timestamp * 1000;
  for (const [given, expiresAt, kept] of [
    [{}, undefined, undefined],
    [{ attributes: { expirytime: '2120-01-01T00:00:00Z' } }, Date.UTC(2120, 0), undefined],
    [property, inMs + 60_000, inMs + 60_000],
    [{ ...property, headers: { 'x-expires-at': inMs } }, inMs, inMs],
    [{ ...property, headers: { 'x-expires-at': inMs + 90_000 } }, inMs + 60_000, inMs + 60_000],
    [{ ...property, attributes: { expirytime: '2090-01-01T00:00:00Z' } }, Date.UTC(2090, 0), inMs + 60_000],
    [{ properties: { expiration: 'soon' } }, undefined, undefined],
    [{ properties: { expiration: '' } }, undefined, undefined],
    [{ headers: { 'x-expires-at': ' ' } }, undefined, ' '],
    [{ headers: { 'x-expires-at': String(inMs) } }, inMs, inMs],
  ] as [Given, number | undefined, unknown][]) {
    const { submitted, published } = await delivered({ ...given, code: 'gateway_error' });
    assert.deepEqual([submitted.expiresAt, published[0]![2]['x-expires-at']], [expiresAt, kept]);
  }
  const before = Date.now();
  const { expiresAt } = (await delivered({ properties: { expiration: '60000' } })).submitted;
  assert.ok(expiresAt >= before + 60_000 && expiresAt <= Date.now() + 60_000, 'from its delivery on');
});

test('where a message comes from goes along with its task', async () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const attributes = { traceparent, tracestate: 'a=b', correlationid: 'c-1' };
  const originOf = async (given: Given) => (await delivered(given)).submitted.origin;
  assert.deepEqual(await originOf({ attributes, headers: { 'x-replay': 1 } }), {
    correlationId: 'c-1',
    traceparent,
    tracestate: 'a=b',
    replay: 1,
  });
  assert.deepEqual(
    await originOf({ attributes: { correlationid: 'c-1' }, properties: { correlationId: 'c-2' } }),
    { correlationId: 'c-2' },
  );
  assert.equal(await originOf({}), undefined);
  assert.equal((await delivered({})).submitted.from, 'events');
});

test('what a stopping process gives back keeps its place, or its count where it has one', async () => {
  const code = 'shutting_down';
  assert.deepEqual(
    await delivered({ code }).then(({ verdict, published, done }) => [verdict, published, done]),
    ['requeue', [], ['execute', 'note']],
  );
  const headers = { 'x-returns': 1 };
  for (const [suspect, queue] of [
    [false, names.ready('tiny')],
    [true, names.suspect('tiny')],
  ] as const) {
    const { verdict, published } = await delivered({ code, suspect, headers });
    assert.deepEqual([verdict, published], ['ack', [['', queue, { 'x-returns': 1 }]]]);
  }
  assert.deepEqual((await delivered({ code, suspect: true })).published[0]![2], { 'x-returns': 0 });
  const { verdict, done } = await delivered({ code: 'cancelled' });
  assert.deepEqual([verdict, done], ['requeue', ['execute']]);
});

test('with the store away the task is executed when it is back, and given back by a process that stops', async () => {
  const { verdict, published, done } = await delivered({ code: 'store_unavailable' });
  assert.deepEqual([verdict, done], ['ack', ['execute', 'execute', 'note']]);
  assert.equal(published.length, 1);
  const stopped = await delivered({ code: 'store_unavailable', isClosing: true });
  assert.deepEqual([stopped.verdict, stopped.published, stopped.done], ['requeue', [], ['execute']]);
});

test('a message that came back twice is a suspect, unless its task runs here or has ended', async () => {
  const twice = { headers: { 'x-returns': 1, 'x-delivery-count': 1 } };
  const { verdict, published, done } = await delivered({
    ...twice,
    properties: { expiration: '60000', timestamp: 4_000_000_000 },
  });
  const own = { 'x-expires-at': 4_000_000_060_000 };
  assert.deepEqual([verdict, published, done], ['ack', [['', names.suspect('tiny'), own]], []]);
  for (const given of [
    { headers: { 'x-delivery-count': 1 } },
    { ...twice, isAwaited: true },
    { ...twice, hasEnded: true },
    { ...twice, suspect: true },
    { headers: { 'x-delivery-count': 5 }, isAwaited: true },
  ]) {
    const { published, submitted } = await delivered(given);
    assert.deepEqual([published, submitted.givenUp], [[], undefined]);
  }
  const of = async (count: number) =>
    (await delivered({ suspect: true, headers: { 'x-delivery-count': count } })).submitted.givenUp;
  assert.equal(await of(3), undefined);
  assert.match(await of(4), /ended before it had an outcome/);
});

test('a message is renewed before the broker drops it, while its task runs here', async () => {
  for (const [suspect, most, queue] of [
    [false, 8, names.ready('tiny')],
    [true, 1, names.suspect('tiny')],
  ] as const) {
    const at = (count: number, isAwaited: boolean) =>
      delivered({ suspect, isAwaited, headers: { 'x-delivery-count': count } });
    const { verdict, published, done } = await at(most, true);
    assert.deepEqual([verdict, published, done], ['ack', [['', queue, {}]], []]);
    assert.deepEqual((await at(most - 1, true)).done, ['execute', 'confirmed']);
    assert.notDeepEqual((await at(most, false)).published, published);
  }
});

test.run();
