import { cloudEventsMediaType } from '../../contracts/events.js';
import { version } from '../version.js';
import { channels } from './asyncapi/channels.js';
import { eventComponents, messages } from './asyncapi/messages.js';
import { operations } from './asyncapi/operations.js';
import { componentSchemas, taskComponents, toJson } from './components.js';

/** The events, as AsyncAPI 3.0. */
export function asyncApiDocument(): object {
  return toJson({
    asyncapi: '3.0.0',
    info: {
      title: 'Worker Service events',
      version,
      description,
      license: { name: 'Apache License 2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    defaultContentType: cloudEventsMediaType,
    servers: {
      rabbitmq: {
        host: '{host}:{port}',
        protocol: 'amqp',
        protocolVersion: '0.9.1',
        description: 'The broker.',
        security: [{ $ref: '#/components/securitySchemes/brokerUser' }],
        variables: {
          host: { default: 'localhost', description: 'RABBITMQ_HOST' },
          port: { default: '5672', description: 'RABBITMQ_PORT' },
        },
      },
    },
    channels,
    operations,
    components: {
      securitySchemes: {
        brokerUser: { type: 'userPassword', description: 'User and password of the broker, in its URL.' },
      },
      messages,
      schemas: componentSchemas({ ...taskComponents, ...eventComponents }),
    },
  });
}

const description = `Events are CloudEvents 1.0 in structured JSON. A task is delivered at least once and takes
effect once: its \`task_id\` is the key, and the one event that ends it has the same \`id\` however often it is
delivered. What fails for the moment is tried again after a pause that it spends in the broker. Names of exchange,
queues and routing keys are those of the shipped configuration.

All queues but the last are durable quorum queues. Dead letters go by the fanout exchange \`tasks.dead\`, at least once.

| queue | holds | messages leave it |
|---|---|---|
| \`worker.task.ready.{tier}\` | tasks | with an ack; after two returns without an answer to \`worker.task.suspect.{tier}\` |
| \`worker.task.suspect.{tier}\` | tasks whose process died twice | with an ack, one by one; after more than \`rabbitmq.delivery_limit\` returns the task fails with \`internal_error\`, and the message goes to \`worker.task.dead\` |
| \`worker.task.delay.{ms}\` | tasks between two attempts | after the time, back to their tier's queue |
| \`worker.task.dead\` | what was given up | by \`npm run dead-letters\` |
| \`worker.task.unrouted\` | whatever was sent to the exchange and nobody had bound a queue for: outcomes, tasks sent to a tier that does not exist, messages of others; without a limit | by whoever reads them |
| \`worker.task.cancelled\` | cancellations; one consumer at a time | when they are noted; else after 7 days, or above 100,000 the oldest |
| \`worker.task.cancelled.{id}\` | cancellations; classic, exclusive, one for each connection | with an ack |
`;
