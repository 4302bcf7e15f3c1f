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

/** The broker does not take the message, however often it is sent: it is too large for it, or not allowed. */
export class PublishRefused extends Error {
  /** Reply code of AMQP 0-9-1. */
  readonly replyCode: 403 | 406;
  constructor(message: string, replyCode: 403 | 406) {
    super(message);
    this.name = 'PublishRefused';
    this.replyCode = replyCode;
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
