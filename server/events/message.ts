import { randomUUID } from 'node:crypto';
import type { ConsumeMessage, Options } from 'amqplib';
import type { Outgoing } from './publisher.js';

/** Headers of the service's own, on messages that it publishes again. */
export const ownHeaders = {
  /** Executions that have failed. */
  attempts: 'x-attempts',
  /** Milliseconds since the epoch. */
  expiresAt: 'x-expires-at',
  reason: 'x-reason',
  detail: 'x-detail',
  /** Queue that the message came from. */
  queue: 'x-queue',
  replay: 'x-replay',
} as const;

const own: ReadonlySet<string> = new Set(Object.values(ownHeaders));

/** The same message on another way. What the broker wrote into its headers stays behind. */
export function again(
  { content, properties }: Pick<ConsumeMessage, 'content' | 'properties'>,
  exchange: string,
  routingKey: string,
  more: Readonly<Record<string, unknown>>,
): Outgoing {
  const { contentType, contentEncoding, correlationId, timestamp, type, appId, priority, messageId } =
    properties;
  const kept = { contentType, contentEncoding, correlationId, timestamp, type, appId, priority };
  const given = Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined));
  const headers = { ...sendersHeaders(properties.headers), ...more };
  const options: Outgoing['options'] = {
    ...(given as Options.Publish),
    messageId: (messageId as string | undefined) ?? randomUUID(),
    headers,
  };
  return { exchange, routingKey, content, options };
}

/** AMQP takes at most a frame of headers; a sender who filled it must not keep his message from moving on. */
const HEADERS_CHARACTERS = 16_384;

function sendersHeaders(headers: Record<string, unknown> = {}): Record<string, unknown> {
  const kept = Object.entries(headers).filter(([name]) => !brokersHeaders.test(name));
  const all = Object.fromEntries(kept);
  if (JSON.stringify(all).length <= HEADERS_CHARACTERS) return all;
  return Object.fromEntries(kept.filter(([name]) => own.has(name)));
}

const brokersHeaders = /^x-(death|first-death-.*|last-death-.*|delivery-count|acquired-count|opt-.*)$/;

/** Only what attributes can be: nothing else needs to reach a thread. */
export function plainHeaders(headers: Record<string, unknown> = {}): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}
