import type { ConsumeMessage } from 'amqplib';
import type { EventAttributes } from '../../contracts/threads.js';
import { ownHeaders } from './message.js';

/** When a message was first looked at, which may be tried for long while the store is away. */
const firstSeen = new WeakMap<ConsumeMessage, number>();

/** When the sender no longer wants the task, in milliseconds since the epoch. */
export function expiryOf(message: ConsumeMessage, { expirytime }: EventAttributes): { expiresAt?: number } {
  const { expiration, timestamp, headers } = message.properties;
  const seen = firstSeen.get(message) ?? Date.now();
  firstSeen.set(message, seen);
  const times = [
    numberOf(headers?.[ownHeaders.expiresAt]),
    numberOf(expiration) + (timestamp === undefined ? seen : sentAt(Number(timestamp) * 1000, seen)),
    Date.parse(expirytime ?? ''),
  ].filter((time) => Number.isFinite(time));
  return times.length === 0 ? {} : { expiresAt: Math.min(...times) };
}

/** AMQP has whole seconds, and who sends cuts off the rest: the latest time that may be meant is the one that is safe. */
function sentAt(second: number, seen: number): number {
  return Math.max(second, Math.min(seen, second + 999));
}

/** An empty text is no time, though JavaScript takes it for 0. */
function numberOf(value: unknown): number {
  return typeof value === 'number' || (typeof value === 'string' && value.trim() !== '')
    ? Number(value)
    : Number.NaN;
}

/** The expiry in a header of our own: as a property it would end the wait in a delay queue early, and count anew in each queue. */
export function expiryHeader(message: ConsumeMessage): Record<string, number> {
  const { expiresAt } = expiryOf(message, {});
  return expiresAt === undefined ? {} : { [ownHeaders.expiresAt]: expiresAt };
}
