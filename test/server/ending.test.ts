import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { Ending, type EndingParts } from '../../server/ending.js';
import { unexecuted } from '../../server/outcome.js';
import type { RunningTask } from '../../server/running-task.js';

const test = suite('the end of a task');

test('what has failed for good does not say when to come again', async () => {
  const ending = new Ending({
    config: { level: 'info', prompts: false },
    store: { record: async () => true },
    log: { info() {} },
    metrics: { ended() {} },
    recent: { add() {} },
  } as unknown as EndingParts);
  const { outcome, ...rest } = unexecuted('task-1', 'hash', 'gateway_unavailable', 'busy');
  const executed = { ...rest, outcome: { ...outcome, retryable: true, retry_after_seconds: 60 } };
  const task = { resolved: { task: { task_id: 'task-1' } }, patient: false, attemptsWith: () => 0 };
  for (const isLastAttempt of [false, true]) {
    const ended = await ending.end({ ...task, isLastAttempt } as unknown as RunningTask, executed);
    const { retryable, retry_after_seconds } = ended.outcome as typeof executed.outcome;
    assert.deepEqual([retryable, retry_after_seconds], isLastAttempt ? [false, undefined] : [true, 60]);
  }
});

test.run();
