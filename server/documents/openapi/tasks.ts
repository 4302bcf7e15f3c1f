import Type from '../../../contracts/typebox.js';
import { refTo } from '../components.js';
import { failedOutcome, specificationResponse } from '../examples.js';
import { answers, problems } from './responses.js';

export const taskIdParameter = {
  name: 'task_id',
  in: 'path',
  required: true,
  description: 'The id that the caller gave the task.',
  schema: refTo('TaskId'),
  example: 'task-123',
};

export const getTask = {
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

export const cancelTask = {
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

export const getReceipt = {
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
