/** The request and the response of the specification, letter for letter. */
export const specificationRequest = {
  task_id: 'task-123',
  description: 'Create fibonacci function',
  domain: 'code-general',
  tier: 'small',
  context: '...',
};

export const specificationResponse = {
  task_id: 'task-123',
  artifact_id: 'art-789',
  status: 'completed',
  output: { content: 'def fibonacci...' },
  tokens_used: 450,
};

/** A failure, as the store and the event have it. */
export const failedOutcome = {
  task_id: 'task-123',
  status: 'failed',
  code: 'needs_clarification',
  detail: 'The task does not say how large the numbers get.',
  retryable: false,
  questions: ['Is arbitrary precision needed?'],
  tokens_used: 120,
  tier: 'small',
  model: 'gemma3:12b',
  attempts: 1,
};
