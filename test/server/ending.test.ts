import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { Ending, type EndingParts } from '../../server/ending.js';
import { unexecuted } from '../../server/outcome.js';
import type { RunningTask } from '../../server/running-task.js';
import { Conflict } from '../../server/standing.js';

const test = suite('the end of a task');

function endingOn(store: object): Ending {
  return new Ending({
    config: { level: 'info', prompts: false },
    store,
    log: { info() {} },
    metrics: { ended() {} },
    recent: { add() {} },
  } as unknown as EndingParts);
}

test('what has failed for good does not say when to come again', async () => {
  const ending = endingOn({ record: async () => true });
  const { outcome, ...rest } = unexecuted('task-1', 'hash', 'gateway_unavailable', 'busy');
  const executed = { ...rest, outcome: { ...outcome, retryable: true, retry_after_seconds: 60 } };
  const task = { resolved: { task: { task_id: 'task-1' } }, patient: false, attemptsWith: () => 0 };
  for (const isLastAttempt of [false, true]) {
    const ended = await ending.end({ ...task, isLastAttempt } as unknown as RunningTask, executed);
    const { retryable, retry_after_seconds } = ended.outcome as typeof executed.outcome;
    assert.deepEqual([retryable, retry_after_seconds], isLastAttempt ? [false, undefined] : [true, 60]);
  }
});

test('what another process has ended is told by its outcome, unless it is another body or another life', async () => {
  const { outcome, ...rest } = unexecuted('task-1', 'hash', 'gateway_unavailable', 'busy');
  const endingWith = (stored: object) =>
    endingOn({ record: async () => false, pending: async () => undefined, find: async () => stored }).end(
      {
        resolved: { task: { task_id: 'task-1' }, requestHash: 'hash' },
        patient: false,
        isLastAttempt: true,
        attemptsWith: () => 1,
      } as unknown as RunningTask,
      { ...rest, outcome },
    );
  const theirs = { ...outcome, detail: 'theirs' };
  const stored = { taskId: 'task-1', requestHash: 'hash', final: true, outcome: theirs };
  assert.equal((await endingWith(stored)).outcome, theirs);
  await assert.rejects(endingWith({ ...stored, requestHash: 'other' }), Conflict);
  await assert.rejects(endingWith({ ...stored, final: false }), /has begun anew/);
});

test('where the endpoint had asked for a pause, there was no attempt', async () => {
  const { outcome, ...rest } = unexecuted('task-1', 'hash', 'gateway_unavailable', 'busy');
  const recordedAs: (readonly [final: boolean, isAttempt: boolean])[] = [];
  let isAttempt = false;
  const ending = endingOn({
    record: async ({ final }: { final: boolean }) => {
      recordedAs.push([final, isAttempt]);
      return true;
    },
  });
  const attemptsWith = (is: boolean) => {
    isAttempt = is;
    return 1;
  };
  const task = {
    resolved: { task: { task_id: 'task-1' } },
    patient: false,
    isLastAttempt: true,
    attemptsWith,
  };
  const busy = { ...rest, outcome: { ...outcome, retryable: true } };
  assert.equal((await ending.end(task as unknown as RunningTask, busy)).wasPaused, false);
  const paused = { ...busy, wasPaused: true };
  assert.equal((await ending.end(task as unknown as RunningTask, paused)).wasPaused, true);
  assert.deepEqual(recordedAs, [
    [true, true],
    [false, false],
  ]);
});

test.run();
