import type { Json } from '../components.js';

export const operations = {
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
    'At once, without an event, when it is too large, or when another body has its task_id; at once when it is no task, beside `task.failed` where it names a task_id; else after the last attempt, beside `task.failed`; so it does when it came back too often without an answer, and by the broker where no process lives to see that.',
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
};

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
