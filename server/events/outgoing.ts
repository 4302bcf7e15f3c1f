import type { Options } from 'amqplib';

/** One message on its way out. */
export interface Outgoing {
  readonly exchange: string;
  readonly routingKey: string;
  readonly content: Buffer;
  readonly options: Options.Publish & { readonly messageId: string };
}

/** `unroutable`: the broker confirmed the message, and had nobody to give it to. */
export type Published = 'confirmed' | 'unroutable';

/** Reply codes of AMQP 0-9-1, with which the broker closes a channel. */
export const ACCESS_REFUSED = 403;
export const PRECONDITION_FAILED = 406;

/** The broker does not take the message, however often it is sent: it is too large for it, or not allowed. */
export class PublishRefused extends Error {
  readonly isTooLarge: boolean;
  /** @param replyCode with which the channel was closed; 406 is about the size, with messages that are well-formed. */
  constructor(message: string, replyCode: typeof ACCESS_REFUSED | typeof PRECONDITION_FAILED) {
    super(message);
    this.name = 'PublishRefused';
    this.isTooLarge = replyCode === PRECONDITION_FAILED;
  }
}

/** Nobody knows whether the broker has the message. */
export class PublishGivenUp extends Error {
  readonly code = 'broker_unavailable';
  constructor(message: string) {
    super(message);
    this.name = 'PublishGivenUp';
  }
}
