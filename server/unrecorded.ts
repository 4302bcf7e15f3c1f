import { failures } from '../contracts/failures.js';
import type { Failed } from '../contracts/outcome.js';
import type { TaskOutcome } from './caller.js';
import type { Interruption } from './deadline.js';
import { isRetryable } from './outcome.js';

/** A failure that is not recorded: nobody may rely on it. */
export function failedWith(
  taskId: string,
  code: Failed['code'],
  detail: string,
  retryable: boolean = failures[code].retryable,
): TaskOutcome {
  const outcome: Failed = { task_id: taskId, status: 'failed', code, detail, retryable, tokens_used: 0 };
  return { outcome, output: undefined, final: false };
}

/** One of a task that ended before it was executed. */
export function interruptedBefore(taskId: string, { code, message, final }: Interruption): TaskOutcome {
  return failedWith(taskId, code, message, isRetryable(code, final));
}
