import { logLevels } from '../../contracts/cluster.js';
import { type FailureCode, failures } from '../../contracts/failures.js';
import { problemOf } from '../../contracts/problem.js';
import type { Scope } from '../../contracts/tokens.js';
import Type, { type TSchema } from '../../contracts/typebox.js';
import { version } from '../version.js';
import {
  answerComponents,
  componentSchemas,
  type Json,
  refTo,
  taskComponents,
  toJson,
} from './components.js';
import { failedOutcome, specificationRequest, specificationResponse } from './examples.js';

/** The routes of `server/http/`, as OpenAPI 3.1. */
export function openApiDocument(): object {
  return toJson({
    openapi: '3.1.0',
    info: {
      title: 'Worker Service',
      version,
      summary: 'Executes generation tasks and keeps their outcomes.',
      description,
      license: { name: 'Apache License 2.0', identifier: 'Apache-2.0' },
    },
    servers: [
      { url: '/', description: 'The root.' },
      { url: '/api/v1', description: 'The same routes under the prefix that all services share.' },
    ],
    security: [],
    tags: [
      { name: 'tasks', description: 'Execute tasks, follow and cancel them.' },
      { name: 'artifacts', description: 'What completed tasks have made.' },
      { name: 'health', description: 'The state of the service and of what it depends on.' },
      { name: 'operation', description: 'Change the running service.' },
      { name: 'documents', description: 'What the service offers.' },
    ],
    paths: {
      '/execute': { post: secured('execute', execute) },
      '/tasks/{task_id}': {
        parameters: [taskIdParameter],
        get: secured('read', getTask),
        delete: secured('execute', cancelTask),
      },
      '/tasks/{task_id}/receipt': { parameters: [taskIdParameter], get: secured('read', getReceipt) },
      '/artifacts/{artifact_id}': { parameters: [artifactIdParameter], get: secured('read', getArtifact) },
      '/health': { get: health },
      '/health/detailed': { get: secured('read', healthDetailed) },
      '/health/live': { get: live },
      '/health/ready': { get: ready },
      '/health/startup': { get: startup },
      '/metrics': { get: secured('read', metrics) },
      '/log-level': { get: secured('read', getLogLevel), put: secured('admin', putLogLevel) },
      '/openapi.json': { get: secured('read', self) },
    },
    components: {
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: 'Asked for when the service has a file of tokens; a token has scopes.',
        },
      },
      schemas: componentSchemas({ ...taskComponents, ...answerComponents, ...healthComponents }),
    },
  });
}

const description = `A task names a domain and, if it likes, a tier; the service assembles a prompt, streams the
completion of a model, checks the output against the schema of the domain, stores it and answers with it.

Errors are problem documents (RFC 9457) with a stable \`code\`; \`retryable\` says whether the same request may be
sent again. A route that does not exist answers 404 (\`not_found\`), and a route that does not take the method
answers 405 (\`method_not_allowed\`) with the methods that it takes in \`Allow\`. What takes GET takes HEAD too.
`;

const Dependencies = Type.Record(Type.String(), Type.String(), {
  description: 'connected or disconnected, by the name of the dependency.',
});
const Endpoints = Type.Record(
  Type.String(),
  Type.Object({
    breaker: Type.Enum(['closed', 'half_open', 'open']),
    since: Type.String({ format: 'date-time' }),
    paused_until: Type.Optional(
      Type.String({ format: 'date-time', description: 'The endpoint asked to be left alone.' }),
    ),
  }),
  { description: 'The endpoints of the model gateway, by name.' },
);
const DependencyDetails = Type.Optional(
  Type.Record(Type.String(), Type.String(), {
    description: 'What is wrong with a dependency that is disconnected, by its name.',
  }),
);
const StandIns = Type.Record(Type.String(), Type.String(), {
  description: 'What stands in for a service that is not configured, by its name.',
});
const summary = {
  status: Type.Enum(['healthy', 'degraded']),
  version: Type.String(),
  timestamp: Type.String({ format: 'date-time' }),
};

const dependencyFields = {
  dependencies: Dependencies,
  dependency_states: Type.Record(
    Type.String(),
    Type.Object({
      state: Type.Enum(['connected', 'disconnected']),
      since: Type.String({ format: 'date-time' }),
      why: Type.Optional(Type.String({ description: 'What is wrong.' })),
    }),
  ),
  details: DependencyDetails,
  without: Type.Optional(
    Type.Record(Type.String(), Type.String(), {
      description: 'What the service has to do without, and what that costs, by the name of the dependency.',
    }),
  ),
  stand_ins: StandIns,
};

const healthComponents: Readonly<Record<string, TSchema>> = {
  Health: Type.Object(summary),
  HealthDetailed: Type.Object({ ...summary, ...dependencyFields, endpoints: Endpoints }),
  Readiness: Type.Object({
    ready: Type.Boolean(),
    reason: Type.Optional(Type.String({ description: 'Why the service takes no tasks.' })),
    ...dependencyFields,
  }),
};

/** What failures say, for the examples. */
type Details = Partial<Record<FailureCode, string>>;

const details: Details = {
  unauthorized: 'a bearer token is required',
  forbidden: 'the token does not have the scope read',
  caller_limited: 'a caller may have 8 tasks at a time',
  not_found: 'there is no task task-123',
  invalid_request: '/description is required',
  request_timeout: 'the body must arrive within 10000 ms',
  task_conflict: 'task_id was used before with another body',
  cancelled: 'the task was cancelled',
  payload_too_large: 'the body must have at most 8388608 bytes',
  unsupported_media_type: 'the content-type must be application/json',
  unknown_domain: 'domain must be one of code-general, code-vision, code-embedded, documentation, ui-design',
  unknown_tier: 'tier must be one of tiny, small, large, coding, frontier',
  refused: 'the task is not one of this domain',
  needs_clarification: failedOutcome.detail,
  internal_error: 'the request could not be handled',
  store_unavailable: 'the store could not be read',
  shutting_down: 'the service is stopping',
};

const more: Partial<Record<FailureCode, object>> = {
  invalid_request: { errors: [{ path: '/description', message: 'is required' }] },
  unknown_domain: { task_id: 'task-123', errors: [{ path: '/domain', message: details.unknown_domain }] },
  unknown_tier: { task_id: 'task-123', errors: [{ path: '/tier', message: details.unknown_tier }] },
  refused: { task_id: 'task-123', reason: 'out_of_domain', recommendation: 'needs_domain_specialist' },
  needs_clarification: { task_id: 'task-123', questions: failedOutcome.questions },
};

/** Codes of answers that may say when to come again. */
const timed: readonly FailureCode[] = [
  'tier_saturated',
  'caller_limited',
  'gateway_error',
  'gateway_unavailable',
];
/** Codes after which the connection is closed, since the rest of the body was not read. */
const closing: readonly FailureCode[] = ['request_timeout', 'payload_too_large'];

/** What an operation asks of its caller, where the service has tokens (RFC 6750). */
function secured<Operation extends { readonly responses: object }>(scope: Scope, operation: Operation): Json {
  const challenge = {
    'WWW-Authenticate': { description: 'RFC 6750, 3.', required: true, schema: { type: 'string' } },
  };
  const refusals = Object.entries(problems(['unauthorized', 'forbidden'])).map(([status, response]) => [
    status,
    { ...(response as object), headers: challenge },
  ]);
  return {
    ...operation,
    security: [{}, { bearer: [scope] }],
    responses: { ...operation.responses, ...Object.fromEntries(refusals) },
  } as Json;
}

/** One response for each status of the codes, with an example of each code. */
function problems(codes: readonly FailureCode[], said: Details = details): Json {
  const statuses = [...new Set(codes.map((code) => failures[code].status))].sort();
  return Object.fromEntries(
    statuses.map((status) => {
      const own = codes.filter((code) => failures[code].status === status);
      const headers = {
        ...(own.some((code) => timed.includes(code)) && {
          'Retry-After': {
            description: 'Seconds after which it is worth trying again, when that is known.',
            ...(own.every((code) => failures[code].status === 429) && { required: true }),
            schema: { type: 'integer', minimum: 0 },
          },
        }),
        ...(own.some((code) => closing.includes(code)) && {
          Connection: {
            description: 'The connection is closed.',
            required: true,
            schema: { const: 'close' },
          },
        }),
      };
      const examples = own.map((code) => [code, { value: example(code, said) }]);
      const response = {
        description: `${own.map((code) => `\`${code}\`: ${failures[code].title}`).join('. ')}.`,
        ...(Object.keys(headers).length > 0 && { headers }),
        content: {
          'application/problem+json': {
            schema: refTo('Problem'),
            examples: Object.fromEntries(examples),
          },
        },
      };
      return [String(status), response];
    }),
  );
}

function example(code: FailureCode, said: Details): object {
  return problemOf(code, said[code] ?? details[code] ?? failures[code].title, more[code]);
}

function answers(description: string, schema: string, example: unknown): Json {
  return { description, content: { 'application/json': { schema: refTo(schema), example } } };
}

const taskIdParameter = {
  name: 'task_id',
  in: 'path',
  required: true,
  description: 'The id that the caller gave the task.',
  schema: refTo('TaskId'),
  example: 'task-123',
};

const artifactIdParameter = {
  name: 'artifact_id',
  in: 'path',
  required: true,
  description: 'The id of an artifact, as the outcome of its task has it.',
  schema: refTo('ArtifactId'),
  example: 'art-789',
};

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

const execute = {
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
| \`reset\` | \`{reason, attempt}\` | forget the pieces so far, attempt number \`attempt\` of the receipt begins; why: the stream broke (\`gateway_error\`), its output is not taken (\`wrong_shape\`, \`cut_off\`), another tier takes over (\`escalation\`, \`fallback\`), or another process of the service (\`takeover\`). With \`reasoning\` the same attempt goes on: the pieces were the model's thoughts |
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
      description: 'W3C trace context; it comes back with the events of a task that is queued.',
      schema: { type: 'string' },
      example: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
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

const getTask = {
  operationId: 'getTask',
  tags: ['tasks'],
  summary: 'Status and outcome of a task',
  responses: {
    200: {
      description: 'The status; of a task that has ended, with its outcome.',
      content: {
        'application/json': {
          schema: refTo('TaskStatus'),
          examples: {
            queued: { value: { task_id: 'task-123', status: 'queued' } },
            running: { value: { task_id: 'task-123', status: 'running' } },
            completed: {
              value: { task_id: 'task-123', status: 'completed', outcome: specificationResponse },
            },
            failed: { value: { task_id: 'task-123', status: 'failed', outcome: failedOutcome } },
          },
        },
      },
    },
    ...problems(['not_found', 'internal_error', 'store_unavailable']),
  },
};

const cancelTask = {
  operationId: 'cancelTask',
  tags: ['tasks'],
  summary: 'Cancel a task',
  description:
    'Cancels a task that waits or runs, on whatever node, for good: its outcome will be `cancelled`.',
  responses: {
    202: {
      description: 'The task is being cancelled.',
      content: {
        'application/json': {
          schema: Type.Object({ task_id: refTo('TaskId'), status: Type.Literal('cancelling') }),
          example: { task_id: 'task-123', status: 'cancelling' },
        },
      },
    },
    ...problems(['not_found', 'task_conflict', 'internal_error', 'store_unavailable'], {
      task_conflict: 'the task has ended: completed',
    }),
  },
};

const getReceipt = {
  operationId: 'getReceipt',
  tags: ['tasks'],
  summary: 'How an outcome came about',
  description: 'Template, context, every call to the model gateway, notes.',
  responses: {
    200: answers('The receipt of a task that has ended.', 'Receipt', {
      task_id: 'task-123',
      request_hash: 'pZGm1Av0IEBKARczz7exkNYsZb8LzaMrV7J32a2fFG4',
      accepted_at: '2026-01-05T09:00:00.000Z',
      finished_at: '2026-01-05T09:00:02.120Z',
      template: {
        name: 'workers/code_general.md',
        sha256: 'f2ca1bb6c7e907d06dafe4687e579fce76b37e4e93b7605022da52e6ccc26fd2',
      },
      context: { status: 'provided', tokens: 1, sources_used: [], sources_dropped: [] },
      attempts: [
        {
          number: 1,
          tier: 'small',
          model: 'gemma3:12b',
          endpoint: 'ollama_gpu_general',
          kind: 'first',
          started_at: '2026-01-05T09:00:00.010Z',
          headers_ms: 35,
          first_token_ms: 180,
          duration_ms: 2050,
          tokens: { prompt: 410, completion: 40, counted_by: 'gateway', method: 'exact' },
          max_output_tokens: 8192,
          finish_reason: 'stop',
          ended: 'finished',
        },
      ],
      tokens_used: 450,
      notes: [],
      outcome: { status: 'completed' },
    }),
    ...problems(['not_found', 'internal_error', 'store_unavailable']),
  },
};

const getArtifact = {
  operationId: 'getArtifact',
  tags: ['artifacts'],
  summary: 'A stored output',
  responses: {
    200: answers('The artifact.', 'Artifact', {
      artifact_id: 'art-789',
      task_id: 'task-123',
      domain: 'code-general',
      created_at: '2026-01-05T09:00:02.118Z',
      output: specificationResponse.output,
    }),
    ...problems(['not_found', 'internal_error', 'store_unavailable'], {
      not_found: 'there is no artifact art-789',
    }),
  },
};

const healthy = { status: 'healthy', version, timestamp: '2026-01-05T09:00:00.000Z' };
const dependencies = { model_gateway: 'connected', store: 'connected', rag: 'connected' };
const dependency_states = Object.fromEntries(
  Object.keys(dependencies).map((name) => [name, { state: 'connected', since: '2026-01-05T08:00:00.000Z' }]),
);

const health = {
  operationId: 'getHealth',
  tags: ['health'],
  summary: 'The state of the service',
  responses: {
    200: answers('The service answers; `status` says how it is.', 'Health', healthy),
  },
};

const healthDetailed = {
  operationId: 'getHealthDetailed',
  tags: ['health'],
  summary: 'The state of the service and of its dependencies',
  responses: {
    200: answers('The service answers; `status` says how it is.', 'HealthDetailed', {
      ...healthy,
      dependencies,
      dependency_states,
      endpoints: { vllm_gpu: { breaker: 'closed', since: '2026-01-05T09:00:00.000Z' } },
      stand_ins: {},
    }),
  },
};

const live = {
  operationId: 'getLiveness',
  tags: ['health'],
  summary: 'Whether the process answers',
  responses: {
    200: {
      description: 'The process answers.',
      content: {
        'application/json': {
          schema: Type.Object({ status: Type.Literal('live') }),
          example: { status: 'live' },
        },
      },
    },
  },
};

const ready = {
  operationId: 'getReadiness',
  tags: ['health'],
  summary: 'Whether the service takes tasks',
  responses: {
    200: answers('It does.', 'Readiness', { ready: true, dependencies, dependency_states, stand_ins: {} }),
    503: answers('It does not: it is stopping, or the store does not take writes.', 'Readiness', {
      ready: false,
      reason: 'the service is stopping',
      dependencies,
      dependency_states,
      stand_ins: {},
    }),
  },
};

const logLevel = Type.Object({ level: Type.Enum([...logLevels]) });

const getLogLevel = {
  operationId: 'getLogLevel',
  tags: ['operation'],
  summary: 'The least severity that is logged',
  responses: {
    200: {
      description: 'The level.',
      content: { 'application/json': { schema: logLevel, example: { level: 'info' } } },
    },
  },
};

const putLogLevel = {
  operationId: 'putLogLevel',
  tags: ['operation'],
  summary: 'Change what is logged',
  description: 'Until the processes end: a start begins with the configuration.',
  requestBody: {
    required: true,
    content: { 'application/json': { schema: logLevel, example: { level: 'debug' } } },
  },
  responses: {
    200: {
      description: 'The new level.',
      content: { 'application/json': { schema: logLevel, example: { level: 'debug' } } },
    },
    ...problems(['invalid_request'], { invalid_request: '/level must be one of trace, debug, info' }),
  },
};

const startup = {
  operationId: 'getStartup',
  tags: ['health'],
  summary: 'Whether the service has started',
  responses: {
    200: {
      description: 'It has.',
      content: {
        'application/json': {
          schema: Type.Object({ status: Type.Literal('started') }),
          example: { status: 'started' },
        },
      },
    },
  },
};

const metrics = {
  operationId: 'getMetrics',
  tags: ['health'],
  summary: 'The metrics of the node',
  responses: {
    200: {
      description: 'All values, over all workers, in the Prometheus text format 0.0.4.',
      content: {
        'text/plain': {
          schema: { type: 'string' },
          example: 'worker_service_requests_total{endpoint="/execute",status="200"} 1\n',
        },
      },
    },
    ...problems(['internal_error']),
  },
};

const self = {
  operationId: 'getOpenApi',
  tags: ['documents'],
  summary: 'This document, as JSON',
  responses: {
    200: {
      description: 'The document, in OpenAPI 3.1.',
      content: {
        'application/json': {
          schema: Type.Object(
            { openapi: Type.String(), info: Type.Unknown(), paths: Type.Unknown() },
            { description: 'As in the OpenAPI Specification 3.1.' },
          ),
          example: { openapi: '3.1.0', info: { title: 'Worker Service', version }, paths: {} },
        },
      },
    },
  },
};
