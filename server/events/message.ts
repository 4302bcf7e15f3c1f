import { randomUUID } from 'node:crypto';
import type { ConsumeMessage, Options } from 'amqplib';
import type { Outgoing } from './outgoing.js';

/** Headers of the service's own, on messages that it publishes again. */
export const ownHeaders = {
  /** Executions that have failed. */
  attempts: 'x-attempts',
  /** Milliseconds since the epoch. */
  expiresAt: 'x-expires-at',
  /** What `x-delivery-count` was when the message was given back, which begins that count anew. */
  returns: 'x-returns',
  reason: 'x-reason',
  detail: 'x-detail',
  /** Queue that the message came from. */
  queue: 'x-queue',
  replay: 'x-replay',
} as const;

const own: ReadonlySet<string> = new Set(Object.values(ownHeaders));

/** The same message on another way. What the broker wrote into its headers stays behind, and how often it came back. */
export function again(
  { content, properties }: Pick<ConsumeMessage, 'content' | 'properties'>,
  exchange: string,
  routingKey: string,
  more: Readonly<Record<string, unknown>>,
): Outgoing {
  const { contentType, contentEncoding, correlationId, timestamp, type, appId, priority, messageId } =
    properties;
  const texts = { contentType, contentEncoding, correlationId, type, appId };
  const kept = [...Object.entries(texts).filter(([, text]) => isShort(text)), ['priority', priority]];
  if (isTimestamp(timestamp)) kept.push(['timestamp', timestamp]);
  const given = Object.fromEntries(kept.filter(([, value]) => value !== undefined));
  const headers = { ...sendersHeaders(properties.headers), ...more };
  const options: Outgoing['options'] = {
    ...(given as Options.Publish),
    messageId: isShort(messageId) ? messageId : randomUUID(),
    headers,
  };
  return { exchange, routingKey, content, options };
}

/** Whether a property takes the text: at most 255 bytes, which a text that was no UTF-8 may exceed once it is read. */
export function isShort(text: unknown): text is string {
  return typeof text === 'string' && Buffer.byteLength(text) <= 255;
}

/** AMQP takes at most a frame of headers; a sender who filled it must not keep his message from moving on. */
const HEADERS_CHARACTERS = 16_384;

function sendersHeaders(headers: Record<string, unknown> = {}): Record<string, unknown> {
  const kept = Object.entries(headers).filter(
    ([name, value]) =>
      !brokersHeaders.test(name) && name !== ownHeaders.returns && isShort(name) && isWritable(value),
  );
  const all = Object.fromEntries(kept);
  if (JSON.stringify(all).length <= HEADERS_CHARACTERS) return all;
  return Object.fromEntries(kept.filter(([name]) => own.has(name)));
}

/** With `CC` and `BCC` the broker would bring copies of what moves on to others, again each time. */
const brokersHeaders =
  /^(?:x-(?:death|first-death-.*|last-death-.*|delivery-count|acquired-count|opt-.*)|CC|BCC)$/;

/** amqplib (2.3) reads some values of other clients that it does not write: the message would be stuck here. */
function isWritable(value: unknown): boolean {
  if (typeof value === 'number') return value >= -(2 ** 63);
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return true;
  // How it says of a value which type it has; a sender may have a field of that name.
  if ('!' in value) return value['!'] === 'timestamp' && 'value' in value && isTimestamp(value.value);
  return Object.entries(value).every(([name, inner]) => isShort(name) && isWritable(inner));
}

function isTimestamp(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 64;
}

/** A count of our own, in a header that a sender may have set as well. */
export function countIn(headers: Record<string, unknown> | undefined, header: string): number {
  const value = headers?.[header];
  return Number.isSafeInteger(value) ? Math.max(0, value as number) : 0;
}

/** How often a message came back without an answer, but for the times that it was given back. */
export function returnsOf({ properties: { headers } }: Pick<ConsumeMessage, 'properties'>): number {
  return countIn(headers, ownHeaders.returns) + countIn(headers, 'x-delivery-count');
}

/** Bytes are text to some senders; a Timestamp of CloudEvents may be one of AMQP, whole seconds since the epoch. */
function attributeText(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return value.toString();
  if (typeof value !== 'object' || value === null || !('!' in value) || value['!'] !== 'timestamp')
    return value;
  const time = new Date(
    'value' in value && typeof value.value === 'number' ? value.value * 1000 : Number.NaN,
  );
  return Number.isNaN(time.getTime()) ? undefined : time.toISOString();
}

/** Only what attributes can be, as text: nothing else needs to reach a thread. */
export function plainHeaders(headers: Record<string, unknown> = {}): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers)
      .map(([name, value]) => [name, attributeText(value)])
      .filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}
