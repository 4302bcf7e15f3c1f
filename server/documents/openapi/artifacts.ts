import { refTo } from '../components.js';
import { specificationResponse } from '../examples.js';
import { answers, problems } from './responses.js';

export const artifactIdParameter = {
  name: 'artifact_id',
  in: 'path',
  required: true,
  description: 'The id of an artifact, as the outcome of its task has it.',
  schema: refTo('ArtifactId'),
  example: 'art-789',
};

export const getArtifact = {
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
