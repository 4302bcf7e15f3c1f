import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import type { ConsumeMessage } from 'amqplib';
import { parse } from 'yaml';
import { packageRoot } from '../../config/package-root.js';

// biome-ignore lint/suspicious/noExplicitAny: the document is read as anybody reads it, without its types
type Json = any;

/** contracts/asyncapi.yaml, as a stranger to the code reads it. */
export class AsyncApi {
  readonly document: Json = parse(readFileSync(new URL('contracts/asyncapi.yaml', packageRoot), 'utf8'));
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });

  constructor() {
    formats.default(this.#ajv);
    this.#ajv.addSchema(this.document, 'asyncapi');
  }

  /** What the document does not say of a message that an operation sent; empty when it says all of it. */
  faultsOfSent(operation: string, name: string, { content, fields, properties }: ConsumeMessage): string[] {
    const { channel, bindings, messages } = this.document.operations[operation];
    const message = this.document.components.messages[name];
    const address: string = this.#at(channel.$ref).address;
    const pattern = new RegExp(`^${address.replaceAll('.', '\\.').replace(/\{\w+\}/, '[^.]+')}$`);
    const payload = JSON.parse(content.toString());
    const isEqual = (what: string, found: unknown, said: unknown) =>
      found === said ? [] : [`${what} is ${found}, not ${said}`];
    return [
      ...isEqual(
        'the message',
        messages.some(({ $ref }: Json) => $ref.endsWith(`/${name}`)),
        true,
      ),
      ...(pattern.test(fields.routingKey) ? [] : [`the routing key is ${fields.routingKey}`]),
      ...isEqual('content_type', properties.contentType, message.contentType),
      ...isEqual('type', properties.type, message.bindings.amqp.messageType),
      ...isEqual('delivery_mode', properties.deliveryMode, bindings.amqp.deliveryMode),
      ...isEqual('a time stamp', properties.timestamp !== undefined, bindings.amqp.timestamp),
      ...isEqual('correlation_id', properties.correlationId, payload[this.#correlationField(message)]),
      ...isEqual('message_id', properties.messageId, payload.id),
      ...this.faultsOfHeaders(name, properties.headers ?? {}),
      ...this.faultsOfPayload(name, payload),
    ];
  }

  faultsOfHeaders(name: string, headers: object): string[] {
    const known = Object.keys(this.document.components.messages[name].headers.properties);
    const unknown = Object.keys(headers).filter((header) => !known.includes(header));
    return [
      ...unknown.map((header) => `the header ${header} is not documented`),
      ...this.#violations(headers, name, 'headers'),
    ];
  }

  faultsOfPayload(name: string, payload: unknown): string[] {
    return this.#violations(payload, name, 'payload');
  }

  #violations(value: unknown, name: string, part: 'headers' | 'payload'): string[] {
    const validator = this.#ajv.getSchema(`asyncapi#/components/messages/${name}/${part}`)!;
    if (validator(value)) return [];
    return validator.errors!.map(({ instancePath, message }) => `${part} ${instancePath} ${message}`);
  }

  #correlationField({ correlationId }: Json): string {
    return correlationId.location.split('#/')[1];
  }

  #at(pointer: string): Json {
    return pointer
      .split('/')
      .slice(1)
      .reduce((value, part) => value[part], this.document);
  }
}
