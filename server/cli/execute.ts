import { randomUUID } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { execute, type Target } from './client.js';
import { exitCodes } from './exit-codes.js';

export interface ExecuteOptions {
  readonly domain: string;
  readonly tier?: string;
  readonly project?: string;
  readonly context?: string;
  readonly output?: string;
  readonly taskId?: string;
}

/**
 * Executes one task. In a terminal the answer streams to it, with a line of progress; otherwise stdout, or the file,
 * gets the content alone, once it is complete. Returns the exit code.
 */
export async function runExecute(
  target: Target,
  description: string,
  options: ExecuteOptions,
): Promise<number> {
  const task = {
    task_id: options.taskId ?? `cli-${randomUUID()}`,
    description: description === '-' ? readFileSync(0, 'utf8') : description,
    domain: options.domain,
    ...(options.tier !== undefined && { tier: options.tier }),
    ...(options.project !== undefined && { project_id: options.project }),
    ...(options.context !== undefined && { context: readFileSync(options.context, 'utf8') }),
  };
  // Before the task costs anything.
  if (options.output !== undefined) mustBeWritable(options.output);
  const streams = process.stdout.isTTY && options.output === undefined;
  const progress = openProgress(process.stderr.isTTY && !streams);
  let code: number = exitCodes.failed;
  await execute(target, task, (event, data) => {
    switch (event) {
      case 'started':
        progress.show(`${data.task_id}: ${data.model} (${data.tier})`);
        break;
      case 'delta':
        if (streams) process.stdout.write(String(data.text));
        break;
      case 'usage':
        progress.show(`${task.task_id}: ${data.completion_tokens} tokens`);
        break;
      case 'reset':
        if (streams) process.stdout.write(`\n\n--- again: ${data.reason} ---\n\n`);
        progress.show(`${task.task_id}: attempt ${data.attempt} (${data.reason})`);
        break;
      case 'completed': {
        progress.end();
        const { content } = data.output as { content: string };
        if (options.output !== undefined) writeContent(options.output, content, task.task_id);
        else if (streams) process.stdout.write('\n');
        else process.stdout.write(content);
        say(`${task.task_id}: ${data.tokens_used} tokens, ${data.execution_time_ms} ms, ${data.model}`);
        code = exitCodes.ok;
        break;
      }
      case 'failed':
        progress.end();
        say(`${task.task_id}: ${data.code}: ${data.detail}`);
        for (const question of (data.questions as string[] | undefined) ?? []) say(`  ${question}`);
        code = data.code === 'refused' || data.code === 'needs_clarification' ? exitCodes.declined : code;
    }
  });
  return code;
}

function mustBeWritable(file: string): void {
  if (file === '') throw new Error('the name of the output file is empty');
  if (existsSync(file) && statSync(file).isDirectory()) throw new Error(`${file} is a directory`);
  accessSync(existsSync(file) ? file : dirname(file), constants.W_OK);
}

function writeContent(file: string, content: string, taskId: string): void {
  try {
    writeFileSync(file, content);
  } catch (error) {
    const { message } = error as Error;
    throw new Error(`${taskId} is completed, but not written: ${message}; \`tasks get ${taskId}\` has it`);
  }
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** One line that is written over and over. */
function openProgress(shown: boolean) {
  const clear = '\r\u001b[K';
  return {
    show: (text: string) => {
      if (shown) process.stderr.write(`${clear}${text}`);
    },
    end: () => {
      if (shown) process.stderr.write(clear);
    },
  };
}
