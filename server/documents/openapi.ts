import Type from '../../contracts/typebox.js';
import { version } from '../version.js';
import { answerComponents, componentSchemas, taskComponents, toJson } from './components.js';
import { artifactIdParameter, getArtifact } from './openapi/artifacts.js';
import { execute } from './openapi/execute.js';
import { health, healthComponents, healthDetailed, live, metrics, ready, startup } from './openapi/health.js';
import { getLogLevel, putLogLevel } from './openapi/log-level.js';
import { secured } from './openapi/responses.js';
import { cancelTask, getReceipt, getTask, taskIdParameter } from './openapi/tasks.js';

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
