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

/** Nobody knows whether the broker has the message. */
export class PublishGivenUp extends Error {
  readonly code = 'broker_unavailable';
  constructor(message: string) {
    super(message);
    this.name = 'PublishGivenUp';
  }
}
