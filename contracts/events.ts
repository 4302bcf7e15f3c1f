import { Completed, Failed } from './outcome.js';
import { Task, TaskId } from './task.js';
import Type, { type Static } from './typebox.js';

/**
 * Events are CloudEvents 1.0 in their structured JSON form. Attributes that are not listed are extensions,
 * which the standard allows in every event, so that envelopes stay open; their data does not.
 */
export const eventTypes = {
  taskReady: 'dats.task.ready',
  taskCancelled: 'dats.task.cancelled',
  taskOutputCreated: 'dats.task.output.created',
  taskFailed: 'dats.task.failed',
} as const;

/** The `source` of every event that this service publishes. */
export const eventSource = '/worker-service';

export const cloudEventsMediaType = 'application/cloudevents+json';

const SpecVersion = Type.Literal('1.0');
const Attribute = Type.String({ minLength: 1 });
const Extensions = {
  traceparent: Type.Optional(Type.String({ description: 'W3C trace context of the sender.' })),
  tracestate: Type.Optional(Type.String()),
  correlationid: Type.Optional(
    Type.String({ description: 'The sender finds it again in the event that ends his task.' }),
  ),
};

/** What another service sends. Attributes are taken as they come: a task is not lost over its time stamp. */
const received = <const Data extends Type.TSchema>(type: string, data: Data) =>
  Type.Object({
    specversion: SpecVersion,
    type: Type.String({ minLength: 1, description: `As the sender names it, e.g. "${type}".` }),
    source: Attribute,
    id: Attribute,
    time: Type.Optional(Type.String()),
    subject: Type.Optional(Type.String()),
    datacontenttype: Type.Optional(Type.String()),
    dataschema: Type.Optional(Type.String()),
    expirytime: Type.Optional(
      Type.String({ description: 'RFC 3339: from then on the sender no longer wants the task.' }),
    ),
    ...Extensions,
    data,
  });

/** What this service sends. */
const published = <const Name extends string, const Data extends Type.TSchema>(type: Name, data: Data) =>
  Type.Object({
    specversion: SpecVersion,
    type: Type.Literal(type),
    source: Type.Literal(eventSource),
    id: Type.String({
      minLength: 1,
      description: 'The same in every delivery of the outcome of a task: drop what was seen before.',
    }),
    time: Type.String({ format: 'date-time', description: 'When the task ended.' }),
    subject: Type.Optional(Type.String({ description: 'The task_id.' })),
    datacontenttype: Type.Optional(Type.Literal('application/json')),
    ...Extensions,
    data,
  });

/** `task.ready.{tier}`: execute a task. */
export const TaskReadyEvent = received(eventTypes.taskReady, Task);
export type TaskReadyEvent = Static<typeof TaskReadyEvent>;

/** Open, because a cancellation must not be lost over a field that is not known here. */
export const TaskCancellation = Type.Object({
  task_id: TaskId,
  reason: Type.Optional(Type.String()),
});
export type TaskCancellation = Static<typeof TaskCancellation>;

/** `task.cancelled`: give up a task, waiting or running. */
export const TaskCancelledEvent = received(eventTypes.taskCancelled, TaskCancellation);
export type TaskCancelledEvent = Static<typeof TaskCancelledEvent>;

/** `task.output.created` with the outcome in a given shape. */
export const taskOutputCreatedSchema = <const Outcome extends Type.TSchema>(completed: Outcome) =>
  published(eventTypes.taskOutputCreated, completed);

export const TaskOutputCreatedEvent = taskOutputCreatedSchema(Completed);
export type TaskOutputCreatedEvent = Static<typeof TaskOutputCreatedEvent>;

/** `task.failed`: the task has ended without an output. */
export const TaskFailedEvent = published(eventTypes.taskFailed, Failed);
export type TaskFailedEvent = Static<typeof TaskFailedEvent>;
