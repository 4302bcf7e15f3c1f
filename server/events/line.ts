import { type ChannelModel, type ConfirmChannel, IllegalOperationError } from 'amqplib';
import type { Log } from '../log.js';
import { gatherWrites } from './connection.js';
import { Moment } from './moment.js';
import {
  ACCESS_REFUSED,
  type Outgoing,
  PRECONDITION_FAILED,
  type Published,
  PublishGivenUp,
  PublishRefused,
} from './outgoing.js';

/** The messages under way: each is either waiting to be sent, or sent and not confirmed. */
export class Line {
  /** Called when messages go out again. */
  onOpen: (() => void) | undefined;
  readonly #waiting: Entry[] = [];
  readonly #sent = new Set<Entry>();
  /** Those among which one made the broker close the channel: until it is found, each is sent alone. */
  readonly #suspects = new Set<Entry>();
  readonly #confirmTimeoutMs: number;
  readonly #log: Log;
  readonly #declare: (model: ChannelModel) => Promise<void>;
  readonly #watch: NodeJS.Timeout;
  readonly #watchMs: number;
  readonly #moment = new Moment(() => {
    if (this.#model !== undefined) gatherWrites(this.#model);
    this.#send();
  });
  #watchedAt = performance.now();
  #model: ChannelModel | undefined;
  #channel: ConfirmChannel | undefined;
  #blocked = false;
  #full = false;
  #closed = false;
  #bytes = 0;

  constructor(confirmTimeoutMs: number, log: Log, declare: (model: ChannelModel) => Promise<void>) {
    this.#confirmTimeoutMs = confirmTimeoutMs;
    this.#log = log;
    this.#declare = declare;
    this.#watchMs = Math.min(1000, confirmTimeoutMs / 2);
    this.#watch = setInterval(() => this.#findOverdue(), this.#watchMs);
    this.#watch.unref();
  }

  /** Whether messages go out now. */
  get open(): boolean {
    return this.#channel !== undefined && !this.#blocked;
  }

  /** Whether a connection is there and takes messages: they go out now, or when its next channel is open. */
  get connected(): boolean {
    return this.#model !== undefined && !this.#blocked;
  }

  /** Of all messages under way, without their headers. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * @throws PublishGivenUp after `limitMs`, or when the line is closed.
   * @throws PublishRefused
   */
  publish(message: Outgoing, limitMs: number | undefined): Promise<Published> {
    if (this.#closed) return Promise.reject(new PublishGivenUp('the publisher is closed'));
    return new Promise((resolve, reject) => {
      const entry: Entry = {
        message,
        resolve,
        reject,
        sentAt: 0,
        returned: false,
        settled: false,
        timer: undefined,
      };
      if (limitMs !== undefined) {
        const giveUp = () =>
          this.#giveUp(entry, new PublishGivenUp(`the broker did not confirm within ${limitMs} ms`));
        entry.timer = setTimeout(giveUp, limitMs);
      }
      this.#bytes += message.content.length;
      this.#waiting.push(entry);
      void this.#moment.over();
    });
  }

  /** A connection is there: declares the topology on it, and sends what waits. */
  async openOn(model: ChannelModel): Promise<void> {
    this.#model = model;
    await this.#declare(model);
    await this.#openChannel(model);
  }

  async #openChannel(model: ChannelModel): Promise<void> {
    const channel = await model.createConfirmChannel();
    let refusal: PublishRefused | undefined;
    channel.on('error', (error: Error & { code?: unknown }) => {
      this.#log.warn({ event: 'publish_channel_error', error: error.message });
      if (error.code === ACCESS_REFUSED || error.code === PRECONDITION_FAILED)
        refusal = new PublishRefused(error.message, error.code);
    });
    channel.on('handler-error', (error) =>
      this.#log.error({ event: 'publish_handler_error', error: error.stack }),
    );
    // Before amqplib tells each that waits for its confirm that the channel is closed, which is no basic.nack.
    channel.prependListener('close', () => {
      if (this.#channel !== channel) return;
      if (refusal !== undefined) this.#findRefused(refusal);
      this.#leaveChannel();
      // Else it may have been closed because an exchange is gone.
      this.#reopen(model, refusal !== undefined);
    });
    channel.on('return', ({ properties }) => {
      for (const entry of this.#sent)
        if (entry.message.options.messageId === properties.messageId) entry.returned = true;
    });
    channel.on('drain', () => {
      this.#full = false;
      this.#send();
    });
    this.#channel = channel;
    this.#full = false;
    this.#send();
    this.onOpen?.();
  }

  /** The connection may well be fine; when it is not, its recovery opens the next channel. */
  #reopen(model: ChannelModel, isDeclared = false): void {
    setTimeout(() => {
      if (this.#closed || this.#model !== model || this.#channel !== undefined) return;
      const opened = isDeclared ? this.#openChannel(model) : this.openOn(model);
      opened.catch((error: Error) => {
        this.#log.warn({ event: 'publish_channel_error', error: error.message });
        this.#reopen(model);
      });
    }, REOPEN_MS).unref();
  }

  /** Declares again what somebody has deleted; after a pause, so that one who deletes for ever is no busy loop. */
  async prepare(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, REOPEN_MS));
    try {
      if (this.#model !== undefined) await this.#declare(this.#model);
    } catch (error) {
      this.#log.warn({ event: 'declare_failed', error: (error as Error).message });
    }
  }

  /** The connection is gone. */
  lost(): void {
    this.#model = undefined;
    this.#blocked = false;
    this.#leaveChannel();
  }

  /** Whether the broker takes nothing for now. */
  setBlocked(blocked: boolean): void {
    this.#blocked = blocked;
    if (blocked) return;
    // The broker read nothing while it blocked: the time-outs begin anew.
    for (const entry of this.#sent) entry.sentAt = performance.now();
    this.#send();
    this.onOpen?.();
  }

  /** Gives up all that is under way. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#watch);
    for (const entry of [...this.#sent, ...this.#waiting])
      this.#giveUp(entry, new PublishGivenUp('the publisher is closed'));
  }

  /** The broker does not say which message it was. One that was alone on the channel it must have been. */
  #findRefused(refusal: PublishRefused): void {
    const [first] = this.#sent;
    if (first !== undefined && this.#sent.size === 1) this.#settle(first, () => first.reject(refusal));
    else for (const entry of this.#sent) this.#suspects.add(entry);
  }

  /** What was sent there has an unknown outcome, so it is sent again, before what waits. */
  #leaveChannel(): void {
    this.#channel = undefined;
    this.#waiting.unshift(...this.#sent);
    this.#sent.clear();
  }

  #send(): void {
    const channel = this.#channel;
    while (channel !== undefined && channel === this.#channel && this.#mayWrite()) {
      const entry = this.#waiting.shift()!;
      entry.sentAt = performance.now();
      entry.returned = false;
      this.#sent.add(entry);
      this.#write(channel, entry);
    }
  }

  #write(channel: ConfirmChannel, entry: Entry): void {
    const { exchange, routingKey, content, options } = entry.message;
    const properties = { persistent: true, mandatory: true, ...options };
    try {
      // False means that the message is buffered all the same: it must not be sent again, only no further one.
      this.#full = !channel.publish(exchange, routingKey, content, properties, (error) =>
        this.#answered(channel, entry, error),
      );
    } catch (error) {
      if (error instanceof IllegalOperationError) {
        // It closed before anybody listened, or closes by itself: no event of it brings the next one.
        this.#leaveChannel();
        if (this.#model !== undefined) this.#reopen(this.#model);
      } else this.#settle(entry, () => entry.reject(error as Error));
    }
  }

  #mayWrite(): boolean {
    const isAlone = this.#suspects.size === 0 || this.#sent.size === 0;
    return this.#waiting.length > 0 && !this.#full && !this.#blocked && isAlone;
  }

  #answered(channel: ConfirmChannel, entry: Entry, error: Error | null): void {
    if (channel !== this.#channel || !this.#sent.delete(entry)) return;
    if (error === null) {
      const wasAlone = this.#suspects.size > 0;
      this.#settle(entry, () => entry.resolve(entry.returned ? 'unroutable' : 'confirmed'));
      if (wasAlone) this.#send();
      return;
    }
    // A basic.nack: the broker could not take it (a queue that is full, or has lost its majority).
    setTimeout(() => {
      if (entry.settled) return;
      if (this.#closed) {
        this.#giveUp(entry, new PublishGivenUp('the publisher is closed'));
        return;
      }
      this.#waiting.push(entry);
      this.#send();
    }, NACK_PAUSE_MS);
  }

  #giveUp(entry: Entry, error: Error): void {
    const at = this.#waiting.indexOf(entry);
    if (at >= 0) this.#waiting.splice(at, 1);
    this.#settle(entry, () => entry.reject(error));
    // It may have been the one that is sent alone.
    if (!this.#closed) this.#send();
  }

  #settle(entry: Entry, how: () => void): void {
    clearTimeout(entry.timer);
    this.#sent.delete(entry);
    this.#suspects.delete(entry);
    if (entry.settled) return;
    entry.settled = true;
    this.#bytes -= entry.message.content.length;
    how();
  }

  /** A confirm that does not come: the channel is given up, and what was sent on it goes out again. */
  #findOverdue(): void {
    const sinceMs = performance.now() - this.#watchedAt;
    this.#watchedAt = performance.now();
    // The event loop stood still: the confirms may wait in the socket, which is read after the timers.
    if (sinceMs > 2 * this.#watchMs) return;
    const channel = this.#channel;
    if (channel === undefined || this.#blocked) return;
    const [oldest] = this.#sent;
    if (oldest === undefined || performance.now() - oldest.sentAt < this.#confirmTimeoutMs) return;
    this.#log.warn({ event: 'confirm_timeout', unconfirmed: this.#sent.size });
    this.#leaveChannel();
    channel.close().catch(() => {});
    if (this.#model !== undefined) this.#reopen(this.#model);
  }
}

interface Entry {
  readonly message: Outgoing;
  readonly resolve: (published: Published) => void;
  readonly reject: (error: Error) => void;
  /** `performance.now()` of the last time it was sent. */
  sentAt: number;
  returned: boolean;
  settled: boolean;
  timer: NodeJS.Timeout | undefined;
}

const REOPEN_MS = 100;
const NACK_PAUSE_MS = 500;
