import type { Json } from '../components.js';

export const channels = {
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
        description:
          'A tier of the configuration. It is that of a task which names none; one that names another tier is executed in that one.',
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
