import type { ConfirmChannel, GetMessage } from 'amqplib';
import { parseEvent } from '../../contracts/parse-event.js';
import { again, countIn, ownHeaders, plainHeaders } from './message.js';

/** What is known of a message that was given up. */
export interface DeadLetter {
  readonly messageId: string | undefined;
  /** Undefined when it cannot be read from the message. */
  readonly taskId: string | undefined;
  /** The queue that it was given up in, and that a replay brings it back to. */
  readonly queue: string | undefined;
  /** The code of the failure, or the broker's own reason: `delivery_limit`, `expired`, … */
  readonly reason: string;
  readonly detail: string | undefined;
  readonly attempts: number;
  readonly replays: number;
  /** When it was sent, or else when the broker gave it up; in milliseconds since the epoch. */
  readonly at: number | undefined;
  readonly bytes: number;
}

/** Which of them are meant: those with one of the ids (all when there is none) and with the reason. */
export interface Selection {
  /** Message ids and task ids. */
  readonly ids: ReadonlySet<string>;
  readonly reason: string | undefined;
}

/**
 * Reads the letters of a queue one by one. Who does not ack a message leaves it there: it returns when the channel
 * is closed. As many as are there at the start, so that what a replay brings back at once is not met again.
 */
export async function* deadLettersOf(
  channel: ConfirmChannel,
  queue: string,
): AsyncGenerator<{ letter: DeadLetter; message: GetMessage }> {
  const { messageCount } = await channel.checkQueue(queue);
  for (let i = 0; i < messageCount; i++) {
    const message = await channel.get(queue);
    if (message === false) return;
    yield { letter: describe(message), message };
  }
}

export function isSelected({ messageId, taskId, reason }: DeadLetter, selection: Selection): boolean {
  if (selection.reason !== undefined && selection.reason !== reason) return false;
  return (
    selection.ids.size === 0 || [messageId, taskId].some((id) => id !== undefined && selection.ids.has(id))
  );
}

/**
 * Sends a message back to its queue, as one that was never tried; it leaves the dead letters when the broker has
 * confirmed that. A crash in between leaves both, with the same count of replays: the second one is not executed again.
 * @throws {Error} when it has nowhere to go, or the broker does not confirm; it stays then.
 */
export async function replay(
  channel: ConfirmChannel,
  { letter, message }: { readonly letter: DeadLetter; readonly message: GetMessage },
  confirmTimeoutMs: number,
): Promise<void> {
  const { queue, replays } = letter;
  if (queue === undefined) throw new Error('nothing in its headers says which queue it came from');
  const { content, options } = again(message, '', queue, {
    // What is undefined is left out of the table.
    [ownHeaders.attempts]: undefined,
    [ownHeaders.expiresAt]: undefined,
    [ownHeaders.reason]: undefined,
    [ownHeaders.detail]: undefined,
    [ownHeaders.queue]: undefined,
    [ownHeaders.replay]: replays + 1,
  });
  let returned = false;
  const onReturn = () => {
    returned = true;
  };
  channel.once('return', onReturn);
  try {
    channel.publish('', queue, content, { ...options, persistent: true, mandatory: true });
    await confirmed(channel, confirmTimeoutMs);
  } finally {
    channel.off('return', onReturn);
  }
  if (returned) throw new Error(`there is no queue ${queue}`);
  channel.ack(message);
}

function describe({ content, properties }: GetMessage): DeadLetter {
  const headers = properties.headers ?? {};
  const contentType = properties.contentType as string | undefined;
  const { claims } = parseEvent({ body: content, contentType, headers: plainHeaders(headers) });
  // The broker writes into this header when it gives a message up itself; ours are then of an earlier time.
  const [death] = (headers['x-death'] as BrokerDeath[] | undefined) ?? [];
  const sentAt = properties.timestamp as number | undefined;
  const seconds = sentAt ?? death?.time?.value;
  return {
    messageId: properties.messageId as string | undefined,
    taskId: claims.taskId,
    queue: death?.queue ?? textOf(headers[ownHeaders.queue]),
    reason: death?.reason ?? textOf(headers[ownHeaders.reason]) ?? 'unknown',
    detail: death === undefined ? textOf(headers[ownHeaders.detail]) : undefined,
    attempts: countIn(headers, ownHeaders.attempts),
    replays: countIn(headers, ownHeaders.replay),
    at: seconds === undefined ? undefined : seconds * 1000,
    bytes: content.length,
  };
}

/** One entry of the header `x-death`; the latest stands first. */
interface BrokerDeath {
  readonly queue: string;
  readonly reason: string;
  /** Seconds since the epoch, as amqplib reads a time stamp in a table. */
  readonly time?: { readonly value: number };
}

function textOf(header: unknown): string | undefined {
  return typeof header === 'string' ? header : undefined;
}

async function confirmed(channel: ConfirmChannel, limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new Error(`the broker did not confirm within ${limitMs} ms`);
    timer = setTimeout(() => reject(error), limitMs);
  });
  try {
    await Promise.race([channel.waitForConfirms(), late]);
  } finally {
    clearTimeout(timer);
  }
}
