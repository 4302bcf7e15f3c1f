import Type from '../../contracts/typebox.js';
import { nameExpectation, namePattern } from './names.js';
import { kib, mib } from './sizes.js';
import { isDecodable, secret } from './texts.js';

/** Of exchanges, and of what queues and routing keys begin with. */
const amqpNamePattern = namePattern;

export const Rabbitmq = Type.Object(
  {
    host: Type.Optional(
      Type.Refine(
        Type.String({
          brokers: true,
          expected:
            'hosts, host:port pairs or amqp(s) URLs, user and password percent-encoded, with commas between them',
          description:
            'Broker: a host, `host:port`, an `amqp://` or `amqps://` URL, or a list of these with commas between them, tried in turn. Default: none, no events.',
        }),
        isBrokerList,
      ),
    ),
    port: Type.Integer({
      default: 5672,
      minimum: 1,
      maximum: 65_535,
      description: 'TCP port of a host that names none (with TLS, 5671 takes the place of 5672).',
    }),
    username: Type.String({
      default: 'guest',
      minLength: 1,
      description: 'User, where the URL names none.',
    }),
    password: secret('Password, where the URL names none. Secret. Default: `guest`.', 'guest'),
    virtual_host: Type.String({
      default: '/',
      minLength: 1,
      description: 'Virtual host, where the URL names none.',
    }),
    tls: Type.Boolean({
      default: false,
      description: 'Whether hosts that are not URLs are spoken to by TLS.',
    }),
    tls_ca_file: Type.Optional(
      Type.String({
        minLength: 1,
        description: "Certificates of the authorities to trust, PEM. Default: Node's.",
      }),
    ),
    tls_cert_file: Type.Optional(
      Type.String({ minLength: 1, description: 'Certificate of this client, PEM. Default: none.' }),
    ),
    tls_key_file: Type.Optional(
      Type.String({ minLength: 1, description: 'Key of this client, PEM. Default: none.' }),
    ),
    exchange: Type.String({
      default: 'tasks',
      pattern: amqpNamePattern,
      expected: nameExpectation,
      description: 'Topic exchange that tasks come from and outcomes go to.',
    }),
    queue_prefix: Type.String({
      default: 'worker.task',
      pattern: amqpNamePattern,
      expected: nameExpectation,
      description: 'What the names of all queues of the service begin with.',
    }),
    routing_prefix: Type.String({
      default: 'task',
      pattern: amqpNamePattern,
      expected: nameExpectation,
      description:
        'What all routing keys begin with: `.ready.{tier}`, `.cancelled`, `.output.created`, `.failed` follow.',
    }),
    heartbeat_seconds: Type.Integer({
      default: 20,
      minimum: 1,
      maximum: 600,
      description: 'A connection that is silent for two of these is given up, in seconds.',
    }),
    connect_timeout_ms: Type.Integer({
      default: 10_000,
      minimum: 100,
      maximum: 600_000,
      description: 'Longest time to connect, in milliseconds.',
    }),
    reconnect_max_ms: Type.Integer({
      default: 10_000,
      minimum: 100,
      maximum: 600_000,
      description: 'Longest pause between two attempts to connect, in milliseconds; it begins at 100.',
    }),
    confirm_timeout_ms: Type.Integer({
      default: 15_000,
      minimum: 100,
      maximum: 600_000,
      description:
        'Longest wait for the confirm of a publish, in milliseconds; then it is repeated under the same id.',
    }),
    max_attempts: Type.Integer({
      default: 4,
      minimum: 1,
      maximum: 100,
      description:
        'Executions of one task, the first included, before it has failed for good. One in which no endpoint was called, because it had asked for a pause, does not count.',
    }),
    retry_delays_ms: Type.Array(Type.Integer({ minimum: 1, maximum: 86_400_000 }), {
      default: [1_000, 10_000, 60_000],
      minItems: 1,
      maxItems: 16,
      expected: 'a list of 1 to 16 integers from 1 to 86400000',
      description:
        'Time that a task waits in the broker before its second, third, … execution, in milliseconds; the last one holds for all further. A gateway that asks for more time gets the first that is long enough.',
    }),
    delivery_limit: Type.Integer({
      default: 4,
      minimum: 1,
      maximum: 1_000,
      description:
        'Times that a message of the queue of suspects may come back without an answer, because its process died, before its task fails and it is dead-lettered; it comes there after two such returns to the queue of its tier, so the default lets a task end seven processes. An argument of the queues: to change it, delete them when they are empty.',
    }),
    max_message_bytes: Type.Integer({
      default: 9 * mib,
      minimum: kib,
      maximum: 128 * mib,
      description: 'Largest message that is executed, in bytes; a larger one is dead-lettered.',
    }),
  },
  { additionalProperties: false, description: 'Events from and to RabbitMQ.' },
);

function isBrokerList(text: string): boolean {
  return text.split(',').every((item) => isBroker(item.trim()));
}

function isBroker(text: string): boolean {
  if (/^(\[[0-9a-f:]+\]|[\w.-]+)(:\d{1,5})?$/i.test(text)) return URL.canParse(`amqp://${text}`);
  return (
    /^amqps?:\/\/([^\s/?#@]*@)?[^\s/?#@]+(\/[^\s/?#]*)?$/i.test(text) &&
    URL.canParse(text) &&
    isDecodable(text)
  );
}
