import { randomUUID } from 'node:crypto';
import type { ConsumeMessage } from 'amqplib';
import type { DeliveryParts, DeliveryVerdict } from './delivery-parts.js';
import { PublishGivenUp } from './outgoing.js';

/**
 * Tells a process when all cancellations have been noted that waited in the broker. The queue that keeps them has one
 * active consumer of all processes, which takes them in order: a message that stands behind them, the fence, is
 * answered by it when what came before is noted, whoever sent the fence. A count of what waits would not do: it leaves
 * out what another process has taken and has not noted yet.
 */
export class CancellationFence {
  readonly #parts: Pick<DeliveryParts, 'names' | 'publisher'>;
  /** The notes that the active consumer is making. */
  readonly #beingNoted = new Set<Promise<unknown>>();
  /** Fences of this process that are not answered. */
  readonly #standing = new Map<string, () => void>();
  readonly #waits = new Set<Promise<unknown>>();

  constructor(parts: Pick<DeliveryParts, 'names' | 'publisher'>) {
    this.#parts = parts;
  }

  /** Takes a message of the queue that keeps cancellations. */
  async kept(
    message: ConsumeMessage,
    note: (message: ConsumeMessage) => Promise<DeliveryVerdict>,
  ): Promise<DeliveryVerdict> {
    if (isFence(message)) return this.#answer(message);
    return among(this.#beingNoted, note(message));
  }

  /** Takes the answer to a fence; false when the message is none. */
  passed(message: ConsumeMessage): boolean {
    if (!isFence(message)) return false;
    this.#standing.get(message.properties.messageId as string)?.();
    return true;
  }

  /**
   * Waits for the notes, but no longer than a consumer that stands still may hold up the tasks.
   * @param own the queue that answers come to
   * @returns whether they are there
   */
  async wait(own: string): Promise<boolean> {
    return among(this.#waits, this.#wait(own));
  }

  /** Resolves when nobody waits any longer for a fence of this process. */
  async none(): Promise<void> {
    await Promise.allSettled(this.#waits);
  }

  async #wait(own: string): Promise<boolean> {
    const { names, publisher } = this.#parts;
    const id = randomUUID();
    let timer: NodeJS.Timeout | undefined;
    const answered = new Promise<boolean>((resolve) => {
      this.#standing.set(id, () => resolve(true));
      timer = setTimeout(() => resolve(false), FENCE_MS).unref();
    });
    const fence = {
      exchange: '',
      routingKey: names.cancelled,
      content: Buffer.alloc(0),
      options: { messageId: id, type: FENCE, replyTo: own, expiration: FENCE_MS },
    };
    try {
      await publisher.publish(fence, FENCE_MS);
      return await answered;
    } catch (error) {
      if (error instanceof PublishGivenUp) return false;
      throw error;
    } finally {
      clearTimeout(timer);
      this.#standing.delete(id);
    }
  }

  async #answer({ properties }: ConsumeMessage): Promise<DeliveryVerdict> {
    const { names, publisher } = this.#parts;
    const replyTo = properties.replyTo as unknown;
    if (typeof replyTo !== 'string' || !replyTo.startsWith(names.cancellations(''))) return 'ack';
    await Promise.allSettled([...this.#beingNoted]);
    const options = { messageId: properties.messageId as string, type: FENCE };
    try {
      await publisher.publish(
        { exchange: '', routingKey: replyTo, content: Buffer.alloc(0), options },
        FENCE_MS,
      );
    } catch (error) {
      // Who stood behind it has gone on by then.
      if (!(error instanceof PublishGivenUp)) throw error;
    }
    return 'ack';
  }
}

/** Keeps the work in the set until it is over. */
async function among<T>(all: Set<Promise<unknown>>, work: Promise<T>): Promise<T> {
  all.add(work);
  try {
    return await work;
  } finally {
    all.delete(work);
  }
}

const FENCE = 'worker-service.fence';
const FENCE_MS = 30_000;

/** Not by the exchange that everybody publishes events to. */
function isFence({ fields, properties }: ConsumeMessage): boolean {
  return fields.exchange === '' && properties.type === FENCE;
}
