import {
  cloudEventsMediaType,
  eventSource,
  eventTypes,
  TaskCancellation,
  TaskCancelledEvent,
  TaskFailedEvent,
  TaskReadyEvent,
  taskOutputCreatedSchema,
} from '../../contracts/events.js';
import type { TSchema } from '../../contracts/typebox.js';
import { version } from '../version.js';
import { componentSchemas, type Json, refTo, taskComponents, toJson } from './components.js';
import { failedOutcome, specificationRequest, specificationResponse } from './examples.js';

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
    channels: {
      taskReady: {
        ...channel(
          'task.ready.{tier}',
          'Tasks that are ready to be executed. The service reads them from the quorum queue `worker.task.ready.{tier}`.',
          'TaskReady',
          'TaskReadyBare',
          'TaskReadyBinary',
        ),
        parameters: {
          tier: {
            description: 'A tier of the configuration.',
            examples: ['tiny', 'small', 'large', 'coding', 'frontier'],
          },
        },
      },
      taskCancelled: channel(
        'task.cancelled',
        'Tasks that are no longer wanted. Every process of the service reads them, from a queue of its own.',
        'TaskCancelled',
        'TaskCancelledBare',
      ),
      taskOutputCreated: channel(
        'task.output.created',
        'Tasks that are completed. What nobody has bound a queue for is kept in `worker.task.unrouted`.',
        'TaskOutputCreated',
      ),
      taskFailed: channel('task.failed', 'Tasks that have ended without an output.', 'TaskFailed'),
      deadLetters: {
        address: 'worker.task.dead',
        description:
          'Messages that were given up, as they came, with the reason in their headers. They stay until somebody replays or drops them.',
        servers: [{ $ref: '#/servers/rabbitmq' }],
        messages: { DeadLetter: { $ref: '#/components/messages/DeadLetter' } },
        bindings: {
          amqp: {
            is: 'queue',
            queue: {
              name: 'worker.task.dead',
              durable: true,
              exclusive: false,
              autoDelete: false,
              vhost: '/',
            },
            bindingVersion: '0.3.0',
          },
        },
      },
    },
    operations: {
      executeTask: operation(
        'receive',
        'taskReady',
        'Execute a task',
        'The message is acknowledged when the outcome is stored and its event is confirmed by the broker.',
        'TaskReady',
        'TaskReadyBare',
        'TaskReadyBinary',
      ),
      queueTask: operation(
        'send',
        'taskReady',
        'Queue a task that came by HTTP',
        'For `POST /execute` with `Prefer: respond-async`.',
        'TaskReady',
      ),
      cancelTask: operation(
        'receive',
        'taskCancelled',
        'Cancel a task, waiting or running',
        'It counts whenever it was sent, also while no process was up. A task that has ended is left as it is; one that is not known yet is cancelled when it comes.',
        'TaskCancelled',
        'TaskCancelledBare',
      ),
      giveUpMessage: operation(
        'send',
        'deadLetters',
        'Give up a message',
        'At once when it is no task, else after the last attempt, beside `task.failed`; by the broker when it came back too often without an answer.',
        'DeadLetter',
      ),
      publishOutput: operation(
        'send',
        'taskOutputCreated',
        'Tell that a task is completed',
        'Once for a task, whoever asked for it; a delivery may be repeated under the same id.',
        'TaskOutputCreated',
      ),
      publishFailure: operation(
        'send',
        'taskFailed',
        'Tell that a task has failed',
        'Once for a task, when it is not tried again; a delivery may be repeated under the same id. Also for a message that is no task (`invalid_request`, `unknown_domain`, `unknown_tier`) and names a task_id. A task that an operator replays has a new life, and its end a new id.',
        'TaskFailed',
      ),
    },
    components: {
      securitySchemes: {
        brokerUser: { type: 'userPassword', description: 'User and password of the broker, in its URL.' },
      },
      messages: {
        TaskReady: message('A task, as a CloudEvent', 'TaskReadyEvent', {
          ...received(eventTypes.taskReady, '5f0c5c1e-6a0a-4c5e-9d5e-2f6a1d1f0b11'),
          data: specificationRequest,
        }),
        TaskReadyBare: {
          name: 'TaskReadyBare',
          title: 'A task, bare',
          summary: 'The body is the task.',
          contentType: 'application/json',
          headers: receivedHeaders,
          payload: refTo('Task'),
          examples: [{ name: 'specification', payload: specificationRequest }],
        },
        TaskReadyBinary: {
          name: 'TaskReadyBinary',
          title: 'A task, as a CloudEvent in binary mode',
          summary:
            'The body is the task; the attributes stand in headers with the prefix `cloudEvents:` (`cloudEvents_`, `ce-` and `ce_` are understood).',
          contentType: 'application/json',
          headers: binaryHeaders,
          payload: refTo('Task'),
          examples: [
            {
              name: 'specification',
              headers: {
                'cloudEvents:specversion': '1.0',
                'cloudEvents:type': eventTypes.taskReady,
                'cloudEvents:source': '/orchestration',
                'cloudEvents:id': '5f0c5c1e-6a0a-4c5e-9d5e-2f6a1d1f0b11',
              },
              payload: specificationRequest,
            },
          ],
        },
        TaskCancelledBare: {
          name: 'TaskCancelledBare',
          title: 'A task is no longer wanted, bare',
          summary: 'The body is the data of the event.',
          contentType: 'application/json',
          payload: refTo('TaskCancellation'),
          examples: [{ name: 'specification', payload: { task_id: specificationRequest.task_id } }],
        },
        DeadLetter: {
          name: 'DeadLetter',
          title: 'A message that was given up',
          summary: 'Body and properties are those of the message.',
          headers: deadLetterHeaders,
          examples: [
            {
              name: 'exhausted',
              headers: {
                'x-reason': 'gateway_unavailable',
                'x-detail': 'the endpoint ollama_gpu_general answered 503',
                'x-attempts': 3,
                'x-queue': 'worker.task.ready.small',
              },
            },
          ],
        },
        TaskCancelled: message('A task is no longer wanted', 'TaskCancelledEvent', {
          ...received(eventTypes.taskCancelled, '0b9d4f7a-3f54-4d0b-8a53-6d1c1f8f9c22'),
          data: { task_id: specificationRequest.task_id, reason: 'superseded' },
        }),
        TaskOutputCreated: message('A task is completed', 'TaskOutputCreatedEvent', {
          ...published(eventTypes.taskOutputCreated),
          data: specificationResponse,
        }),
        TaskFailed: message('A task has failed', 'TaskFailedEvent', {
          ...published(eventTypes.taskFailed),
          data: failedOutcome,
        }),
      },
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
| \`worker.task.ready.{tier}\` | tasks | with an ack; after too many deliveries to \`worker.task.dead\` |
| \`worker.task.suspect.{tier}\` | tasks whose process died twice | the same, one by one |
| \`worker.task.delay.{ms}\` | tasks between two attempts | after the time, back to their tier's queue |
| \`worker.task.dead\` | what was given up | by \`npm run dead-letters\` |
| \`worker.task.unrouted\` | outcomes that nobody had bound a queue for, tasks sent to a tier that does not exist | by whoever reads them |
| \`worker.task.cancelled\` | cancellations; one consumer at a time | when they are noted; else after 7 days, or above 100,000 the oldest |
| \`worker.task.cancelled.{id}\` | cancellations; classic, exclusive, one for each connection | with an ack |
`;

const Text = { type: 'string' };

/** Of messages that the service takes; all of them may be missing. */
const receivedHeaders = {
  type: 'object',
  properties: {
    traceparent: { ...Text, description: 'W3C trace context; it comes back with the outcome.' },
    tracestate: Text,
    'x-attempts': {
      type: 'integer',
      minimum: 0,
      description: 'Executions that have failed; the service sets it when it tries a task again.',
    },
    'x-expires-at': {
      type: 'integer',
      description: 'Milliseconds since the epoch: what is left of `expiration` when a task is tried again.',
    },
    'x-returns': {
      type: 'integer',
      minimum: 0,
      description:
        'How often the message came back because its process died; the service sets it when it stops and gives a task back.',
    },
    'x-replay': {
      type: 'integer',
      minimum: 1,
      description:
        'How often an operator has replayed the message. Each time begins a new life of a task that failed.',
    },
  },
};

const binaryHeaders = {
  type: 'object',
  properties: {
    ...receivedHeaders.properties,
    'cloudEvents:specversion': { const: '1.0' },
    'cloudEvents:type': Text,
    'cloudEvents:source': Text,
    'cloudEvents:id': Text,
    'cloudEvents:traceparent': Text,
    'cloudEvents:correlationid': {
      ...Text,
      description: 'As the property `correlation_id`, which goes before it.',
    },
    'cloudEvents:expirytime': {
      ...Text,
      format: 'date-time',
      description: 'When the task is no longer wanted; the property `expiration` is honoured too.',
    },
  },
  required: ['cloudEvents:specversion'],
};

const deadLetterHeaders = {
  type: 'object',
  properties: {
    'x-reason': {
      ...Text,
      description: 'The code of the failure. Missing when the broker gave the message up.',
    },
    'x-detail': Text,
    'x-attempts': { type: 'integer', minimum: 1, description: 'Executions of the task.' },
    'x-queue': { ...Text, description: 'The queue that a replay goes to.' },
    'x-replay': receivedHeaders.properties['x-replay'],
    'x-expires-at': receivedHeaders.properties['x-expires-at'],
    'x-first-death-reason': {
      ...Text,
      description: "The broker's own reason: `delivery_limit` or `expired`.",
    },
    'x-death': {
      type: 'array',
      description:
        'Written by the broker when it gave the message up: queue, reason, time; the latest first.',
      items: { type: 'object' },
    },
    'x-delivery-count': {
      type: 'integer',
      description: 'Written by the broker: how often the letter was read and left there.',
    },
  },
};

/** Of messages that the service sends. */
const sentHeaders = {
  type: 'object',
  description:
    'Properties: `message_id` is the `id` of the event, `type` its type, `timestamp` its time in seconds, `app_id` worker-service, `correlation_id` that of the task, when it has at most 255 bytes; `delivery_mode` is 2.',
  properties: { traceparent: Text, tracestate: Text },
};

const eventComponents: Readonly<Record<string, TSchema>> = {
  TaskCancellation,
  TaskReadyEvent,
  TaskCancelledEvent,
  TaskOutputCreatedEvent: taskOutputCreatedSchema(refTo('Completed')),
  TaskFailedEvent,
};

function channel(address: string, description: string, ...messages: string[]): Json {
  return {
    address,
    description,
    servers: [{ $ref: '#/servers/rabbitmq' }],
    messages: Object.fromEntries(messages.map((name) => [name, { $ref: `#/components/messages/${name}` }])),
    bindings: {
      amqp: {
        is: 'routingKey',
        exchange: { name: 'tasks', type: 'topic', durable: true, autoDelete: false, vhost: '/' },
        bindingVersion: '0.3.0',
      },
    },
  };
}

function operation(
  action: 'receive' | 'send',
  channel: string,
  title: string,
  description: string,
  ...messages: string[]
): Json {
  return {
    action,
    channel: { $ref: `#/channels/${channel}` },
    title,
    summary: title,
    description,
    messages: messages.map((name) => ({ $ref: `#/channels/${channel}/messages/${name}` })),
    bindings: {
      amqp:
        action === 'receive'
          ? { ack: true, bindingVersion: '0.3.0' }
          : { deliveryMode: 2, mandatory: true, timestamp: true, bindingVersion: '0.3.0' },
    },
  };
}

function message(title: string, schema: string, payload: Json): Json {
  const name = schema.replace(/Event$/, '');
  return {
    name,
    title,
    summary: `${title}.`,
    contentType: cloudEventsMediaType,
    headers: schema === 'TaskReadyEvent' || schema === 'TaskCancelledEvent' ? receivedHeaders : sentHeaders,
    correlationId: {
      location: '$message.payload#/correlationid',
      description: 'Also the property `correlation_id`, which goes before it.',
    },
    payload: refTo(schema),
    bindings: { amqp: { messageType: payload.type, bindingVersion: '0.3.0' } },
    examples: [{ name: 'specification', payload }],
  };
}

function received(type: string, id: string): Json {
  return { specversion: '1.0', type, source: '/orchestration', id, time: '2026-01-05T09:00:00Z' };
}

function published(type: string): Json {
  return {
    specversion: '1.0',
    type,
    source: eventSource,
    id: '8d7f1b52-5a1e-5b0c-9d1a-3c2f4e5a6b33',
    time: '2026-01-05T09:00:02.120Z',
    subject: specificationRequest.task_id,
    datacontenttype: 'application/json',
  };
}
