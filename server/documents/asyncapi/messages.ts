import {
  cloudEventsMediaType,
  eventSource,
  eventTypes,
  TaskCancellation,
  TaskCancelledEvent,
  TaskFailedEvent,
  TaskReadyEvent,
  taskOutputCreatedSchema,
} from '../../../contracts/events.js';
import type { TSchema } from '../../../contracts/typebox.js';
import { type Json, refTo } from '../components.js';
import { failedOutcome, specificationRequest, specificationResponse } from '../examples.js';
import { binaryHeaders, deadLetterHeaders, receivedHeaders, sentHeaders } from './headers.js';

export const messages = {
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
    summary:
      'Body and properties are those of the message, but for `reply_to`, `expiration`, `user_id` and the headers of the broker.',
    headers: deadLetterHeaders,
    examples: [
      {
        name: 'exhausted',
        headers: {
          'x-reason': 'gateway_unavailable',
          'x-detail': 'the endpoint ollama_gpu_general answered 503',
          'x-attempts': 4,
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
};

/** What the messages hold, beside the task and its outcome. */
export const eventComponents: Readonly<Record<string, TSchema>> = {
  TaskCancellation,
  TaskReadyEvent,
  TaskCancelledEvent,
  TaskOutputCreatedEvent: taskOutputCreatedSchema(refTo('Completed')),
  TaskFailedEvent,
};

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
