import Type from '../../../contracts/typebox.js';
import { refTo } from '../components.js';
import { specificationRequest, specificationResponse } from '../examples.js';
import { problems } from './responses.js';

const eventStream = {
  schema: { type: 'string', description: 'Server-sent events, each with JSON in its data.' },
  example: [
    ': worker-service\n',
    'event: started\ndata: {"task_id":"task-123","tier":"small","model":"gemma3:12b"}\n',
    'event: delta\ndata: {"text":"def fibonacci..."}\n',
    'event: usage\ndata: {"completion_tokens":7}\n',
    `event: completed\ndata: ${JSON.stringify(specificationResponse)}\n\n`,
  ].join('\n'),
};

export const execute = {
  operationId: 'executeTask',
  tags: ['tasks'],
  summary: 'Execute a task',
  description: `Answers when the task has ended. \`task_id\` is the key of idempotency: a task that has completed, or
failed for good, is answered with its stored outcome; one that runs is joined; one that failed with a retryable
code is executed again. When every caller of a task has gone away, its model call is cancelled.

With \`Accept: text/event-stream\` the answer is a stream of server-sent events:

| event | data | |
|---|---|---|
| \`started\` | \`{task_id, tier, model}\` | the model is being called |
| \`delta\` | \`{text}\` | the next piece of the result |
| \`usage\` | \`{completion_tokens}\` | tokens so far |
| \`reset\` | \`{reason, attempt}\` | forget the pieces so far, attempt number \`attempt\` of the receipt begins; why: the stream broke or ended in an error (\`gateway_error\`, \`gateway_unavailable\`), its output is not taken (\`wrong_shape\`, \`cut_off\`, \`empty\`), another tier takes over (\`escalation\`, \`fallback\`), or another process of the service (\`takeover\`). With \`reasoning\` the same attempt goes on: the pieces were the model's thoughts |
| \`completed\` | Completed | the last event: the answer that JSON callers get; its content counts, without what a model may have said around it |
| \`failed\` | Problem | the last event: the problem document that JSON callers get |

A stream that has nothing to tell for a while (\`server.stream_keep_alive_ms\`) sends a comment, which clients pass over.

With \`Prefer: respond-async\` (RFC 7240) the task is handed to the broker, and the answer, 202, comes when the
broker has confirmed it. Where no broker is configured the preference is passed over.

What is wrong with the request is answered with a problem document in either case.
`,
  parameters: [
    {
      name: 'Prefer',
      in: 'header',
      description: '`respond-async`: answer when the task is queued, not when it has ended.',
      schema: { type: 'string' },
      example: 'respond-async',
    },
    {
      name: 'traceparent',
      in: 'header',
      description:
        'W3C trace context; it goes on to the gateway and the RAG service, and comes back with the event of the outcome.',
      schema: { type: 'string' },
      example: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    },
    {
      name: 'tracestate',
      in: 'header',
      description: 'Goes where `traceparent` goes.',
      schema: { type: 'string' },
      example: 'vendor=1',
    },
  ],
  requestBody: {
    required: true,
    description:
      'The task, as JSON in UTF-8. Unknown fields are refused, and so is a text with half of a surrogate pair. Of a name that stands twice in an object, the last one counts.',
    content: {
      'application/json': {
        schema: refTo('Task'),
        examples: {
          specification: { summary: 'As in the specification', value: specificationRequest },
          embedded: {
            summary: 'With criteria, constraints and an earlier artifact',
            value: {
              task_id: 'task-124',
              description: 'Blink the LED without blocking the main loop',
              domain: 'code-embedded',
              project_id: 'project-7',
              acceptance_criteria: ['The LED toggles every 500 ms'],
              constraints: { mcu: 'STM32F103', ram_bytes: 20480, standards: ['MISRA C:2012'] },
              inputs: [{ artifact_id: 'art-788', path: 'src/main.c', language: 'c', content: 'int main…' }],
              max_output_tokens: 4000,
            },
          },
        },
      },
    },
  },
  responses: {
    200: {
      description: 'The task is completed; its artifact is stored.',
      headers: {
        'Server-Timing': {
          description:
            'Where the time went, in milliseconds (W3C Server Timing): the `timings` of the outcome; `record`, what it took to make it durable, which the outcome cannot know of itself; and `total`, the sum. Failed executions have it as well; not with outcomes that were stored before, nor with event streams.',
          schema: { type: 'string' },
          example:
            'wait;dur=0.02, context;dur=0.01, assemble;dur=3.9, first_token;dur=35.2, stream;dur=774.1, validate;dur=3.1, other;dur=0.8, record;dur=1.4, total;dur=818.53',
        },
      },
      content: {
        'application/json': {
          schema: refTo('Completed'),
          examples: { specification: { summary: 'As in the specification', value: specificationResponse } },
        },
        'text/event-stream': eventStream,
      },
    },
    202: {
      description: 'The broker has the task; asked for by `Prefer: respond-async`.',
      headers: {
        Location: {
          description: 'Where the status of the task is.',
          required: true,
          schema: { type: 'string' },
          example: '/tasks/task-123',
        },
        'Preference-Applied': { required: true, schema: { const: 'respond-async' } },
      },
      content: {
        'application/json': {
          schema: Type.Object({ task_id: refTo('TaskId'), status: Type.Literal('queued') }),
          example: { task_id: 'task-123', status: 'queued' },
        },
      },
    },
    ...problems([
      'invalid_request',
      'request_timeout',
      'task_conflict',
      'cancelled',
      'payload_too_large',
      'unsupported_media_type',
      'unknown_domain',
      'unknown_tier',
      'refused',
      'needs_clarification',
      'tier_saturated',
      'caller_limited',
      'internal_error',
      'output_invalid',
      'gateway_error',
      'gateway_unavailable',
      'broker_unavailable',
      'shutting_down',
      'store_unavailable',
      'deadline_exceeded',
    ]),
  },
};
