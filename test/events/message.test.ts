import assert from 'node:assert/strict';
import type { ConsumeMessage } from 'amqplib';
import { suite } from 'uvu';
import { expiryHeader, expiryOf } from '../../server/events/expiry.js';
import { again, countIn, isShort, plainHeaders, returnsOf } from '../../server/events/message.js';

const test = suite('a message that is sent on');
const content = Buffer.from('{}');
const aMessage = (properties: object) => ({ content, properties }) as unknown as ConsumeMessage;
const optionsOf = (properties: object, more = {}) => again(aMessage(properties), 'x', 'k', more).options;
const headersOf = (headers: object, more = {}) => optionsOf({ headers }, more).headers;

test('it has the content, the way that it is given, and the properties that its sender gave it', () => {
  const properties = {
    contentType: 'application/json',
    contentEncoding: 'utf-8',
    correlationId: 'c',
    timestamp: 1,
    type: 't',
    appId: 'a',
    priority: 0,
    messageId: 'm',
  };
  const others = { expiration: '1000', replyTo: 'r', userId: 'u', deliveryMode: 2, headers: { a: 1 } };
  assert.deepEqual(again(aMessage({ ...properties, ...others }), 'x', 'k', { 'x-attempts': 2 }), {
    exchange: 'x',
    routingKey: 'k',
    content,
    options: { ...properties, headers: { a: 1, 'x-attempts': 2 } },
  });
});

test('what it lacks it does not get, but for an id', () => {
  const { messageId, ...others } = optionsOf({});
  assert.deepEqual(others, { headers: {} });
  assert.match(messageId, /^[0-9a-f-]{36}$/);
  assert.notEqual(optionsOf({ messageId: 'é'.repeat(128) }).messageId, 'é'.repeat(128));
});

test('properties that no message can have stay behind', () => {
  const { messageId: _, ...kept } = optionsOf({
    type: 'é'.repeat(128),
    appId: 'a'.repeat(256),
    timestamp: -1,
  });
  assert.deepEqual(kept, { headers: {} });
  for (const timestamp of [1.5, 2 ** 64, '1', Number.NaN])
    assert.equal(optionsOf({ timestamp }).timestamp, undefined, String(timestamp));
  assert.equal(optionsOf({ timestamp: 0 }).timestamp, 0);
});

test("the broker's headers stay behind, and how often it was given back; what is new wins", () => {
  const brokers = [
    'x-death',
    'x-first-death-queue',
    'x-last-death-reason',
    'x-delivery-count',
    'x-acquired-count',
    'x-opt-anything',
  ];
  const headers = Object.fromEntries([...brokers, 'x-returns'].map((name) => [name, 1]));
  assert.deepEqual(headersOf({ ...headers, 'x-death-star': 1, 'x-attempts': 1 }, { 'x-attempts': 2 }), {
    'x-death-star': 1,
    'x-attempts': 2,
  });
  assert.deepEqual(headersOf({}, { 'x-returns': 3 }), { 'x-returns': 3 });
});

test('values that amqplib reads and does not write stay behind, at any depth', () => {
  const bytes = Buffer.from('b');
  const time = { '!': 'timestamp', value: 7 };
  const kept = {
    text: 't',
    none: null,
    yes: true,
    number: -(2 ** 63),
    bytes,
    time,
    list: [1, { deep: bytes }],
    object: { a: { b: null } },
  };
  const dropped = {
    tooSmall: -(2 ** 64),
    nan: Number.NaN,
    mark: { '!': 'decimal', value: 7 },
    noTime: { '!': 'timestamp' },
    wrongTime: { '!': 'timestamp', value: -1 },
    list: [1, { deep: { '!': 'x' } }],
    longName: { ['n'.repeat(256)]: 1 },
    ['n'.repeat(256)]: 1,
  };
  const marked = Object.fromEntries(Object.entries(dropped).map(([name, value]) => [`${name}?`, value]));
  assert.deepEqual(headersOf({ ...kept, ...marked }), kept);
});

test('of headers that fill a frame only those of the service are kept', () => {
  const own = { 'x-attempts': 1, 'x-expires-at': 2 };
  const length = JSON.stringify({ ...own, big: '' }).length;
  const fits = { ...own, big: 'b'.repeat(16_384 - length) };
  assert.deepEqual(headersOf(fits), fits);
  assert.deepEqual(headersOf({ ...own, big: `${fits.big}b` }, { 'x-reason': 'r' }), {
    ...own,
    'x-reason': 'r',
  });
});

test('counts are whole numbers from 0, whatever a sender wrote', () => {
  for (const [value, count] of [
    [3, 3],
    [-1, 0],
    [1.5, 0],
    ['3', 0],
    [2 ** 53, 0],
  ])
    assert.equal(countIn({ 'x-attempts': value }, 'x-attempts'), count, String(value));
  assert.equal(countIn(undefined, 'x-attempts'), 0);
  const came = (headers: object) => returnsOf(aMessage({ headers }));
  assert.deepEqual(
    [came({}), came({ 'x-delivery-count': 2 }), came({ 'x-delivery-count': 2, 'x-returns': 3 })],
    [0, 2, 5],
  );
});

test('a short text has at most 255 bytes', () => {
  assert.deepEqual(['a'.repeat(255), 'a'.repeat(256), 'é'.repeat(128), '', 7, undefined].map(isShort), [
    true,
    false,
    false,
    true,
    false,
    false,
  ]);
});

test('a timestamp is a whole second, and an expiration may count from its end', () => {
  const expiresAt = (timestamp: number) =>
    expiryOf({ properties: { timestamp, expiration: '500' } } as never, {}).expiresAt!;
  const now = Date.now();
  const second = Math.floor(now / 1000);
  const present = expiresAt(second);
  assert.ok(present >= Math.min(now, second * 1000 + 999) + 500 && present <= Date.now() + 500);
  assert.equal(expiresAt(second - 60), (second - 60) * 1000 + 999 + 500);
  assert.equal(expiresAt(second + 60), (second + 60) * 1000 + 500);
});

test('without a timestamp an expiration counts from the first look at the message', async () => {
  const message = aMessage({ expiration: '1000' });
  const first = expiryOf(message, {});
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(expiryOf(message, {}), first);
  assert.deepEqual(expiryHeader(message), { 'x-expires-at': first.expiresAt });
});

test('a thread gets the headers that are text, or its bytes', () => {
  assert.deepEqual(plainHeaders({ a: 'a', b: Buffer.from('b'), c: 1, d: null }), { a: 'a', b: 'b' });
  const times = {
    t: { '!': 'timestamp', value: 1_577_836_800 },
    u: { '!': 'timestamp', value: 2 ** 63 },
    v: { w: 1 },
  };
  assert.deepEqual(plainHeaders(times), { t: '2020-01-01T00:00:00.000Z' });
  assert.deepEqual(plainHeaders(undefined), {});
});

test.run();
