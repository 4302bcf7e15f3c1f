import Type, { type TSchema } from '../../../contracts/typebox.js';
import { version } from '../../version.js';
import { answers, problems } from './responses.js';

const healthy = { status: 'healthy', version, timestamp: '2026-01-05T09:00:00.000Z' };

const dependencies = { model_gateway: 'connected', store: 'connected', rag: 'connected' };

const dependency_states = Object.fromEntries(
  Object.keys(dependencies).map((name) => [name, { state: 'connected', since: '2026-01-05T08:00:00.000Z' }]),
);

export const health = {
  operationId: 'getHealth',
  tags: ['health'],
  summary: 'The state of the service',
  responses: {
    200: answers('The service answers; `status` says how it is.', 'Health', healthy),
  },
};

export const healthDetailed = {
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

export const live = {
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

export const ready = {
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

export const startup = {
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

export const metrics = {
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

export const healthComponents: Readonly<Record<string, TSchema>> = {
  Health: Type.Object(summary),
  HealthDetailed: Type.Object({ ...summary, ...dependencyFields, endpoints: Endpoints }),
  Readiness: Type.Object({
    ready: Type.Boolean(),
    reason: Type.Optional(Type.String({ description: 'Why the service takes no tasks.' })),
    ...dependencyFields,
  }),
};
