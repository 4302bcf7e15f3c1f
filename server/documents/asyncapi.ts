import type { TSchema } from 'typebox';
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
        ...channel('task.ready.{tier}', 'Tasks that are ready to be executed.', 'TaskReady', 'TaskReadyBare'),
        parameters: {
          tier: {
            description: 'A tier of the configuration.',
            examples: ['tiny', 'small', 'large', 'coding', 'frontier'],
          },
        },
      },
      taskCancelled: channel('task.cancelled', 'Tasks that are no longer wanted.', 'TaskCancelled'),
      taskOutputCreated: channel('task.output.created', 'Tasks that are completed.', 'TaskOutputCreated'),
      taskFailed: channel('task.failed', 'Tasks that have ended without an output.', 'TaskFailed'),
    },
    operations: {
      executeTask: operation(
        'receive',
        'taskReady',
        'Execute a task',
        'The message is acknowledged when the outcome is stored and its event is confirmed by the broker.',
        'TaskReady',
        'TaskReadyBare',
      ),
      cancelTask: operation(
        'receive',
        'taskCancelled',
        'Cancel a task, waiting or running',
        'A task that has ended, or is not known, is left as it is.',
        'TaskCancelled',
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
        'Once for a task, when it is not tried again; a delivery may be repeated under the same id.',
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
          summary:
            'The body is the task; the attributes of a CloudEvent in binary form stand in the headers.',
          contentType: 'application/json',
          payload: refTo('Task'),
          examples: [{ name: 'specification', payload: specificationRequest }],
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
delivered.
`;

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
  };
}

function message(title: string, schema: string, payload: Json): Json {
  const name = schema.replace(/Event$/, '');
  return {
    name,
    title,
    summary: `${title}.`,
    contentType: cloudEventsMediaType,
    payload: refTo(schema),
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
