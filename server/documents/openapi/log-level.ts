import { logLevels } from '../../../contracts/cluster.js';
import Type from '../../../contracts/typebox.js';
import { problems } from './responses.js';

const logLevel = Type.Object({ level: Type.Enum([...logLevels]) });

export const getLogLevel = {
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

export const putLogLevel = {
  operationId: 'putLogLevel',
  tags: ['operation'],
  summary: 'Change what is logged',
  description: 'Until the service is started again; workers that are replaced meanwhile keep it.',
  requestBody: {
    required: true,
    content: { 'application/json': { schema: logLevel, example: { level: 'debug' } } },
  },
  responses: {
    200: {
      description: 'The new level.',
      content: { 'application/json': { schema: logLevel, example: { level: 'debug' } } },
    },
    ...problems(['invalid_request', 'request_timeout', 'payload_too_large'], {
      invalid_request: '/level must be one of trace, debug, info',
      payload_too_large: 'the body must have at most 1024 bytes',
    }),
  },
};
