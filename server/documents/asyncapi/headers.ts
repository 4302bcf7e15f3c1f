const Text = { type: 'string' };

/** Of messages that the service takes; all of them may be missing. */
export const receivedHeaders = {
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

export const binaryHeaders = {
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

export const deadLetterHeaders = {
  type: 'object',
  properties: {
    'x-reason': {
      ...Text,
      description: 'The code of the failure. Missing when the broker gave the message up.',
    },
    'x-detail': Text,
    'x-attempts': {
      type: 'integer',
      minimum: 1,
      description: 'Attempts at the task; 1 also where it was never executed.',
    },
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
export const sentHeaders = {
  type: 'object',
  description:
    'Properties: `message_id` is the `id` of the event, `type` its type, `timestamp` its time in seconds, `app_id` worker-service, `correlation_id` that of the task, when it has at most 255 bytes; `delivery_mode` is 2.',
  properties: { traceparent: Text, tracestate: Text },
};
