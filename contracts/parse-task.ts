import { hash } from 'node:crypto';
import { isObject } from './objects.js';
import { type Task, taskValidator } from './task.js';
import type { ParsedTask } from './threads.js';
import { loneSurrogates } from './well-formed.js';

/**
 * Reads a task from the bytes of a body: UTF-8 (RFC 3629, nothing malformed), JSON, the schema of a task.
 * Never throws; nothing of the caller's content is repeated in what it says.
 */
export function parseTask(body: Uint8Array): ParsedTask {
  const read = readJson(body);
  return read.kind === 'json' ? taskOf(read.value) : read;
}

/** Reads JSON (RFC 8259) in UTF-8; never throws. */
export function readJson(
  body: Uint8Array,
): { kind: 'json'; value: unknown } | { kind: 'malformed'; detail: string } {
  let text: string;
  try {
    text = utf8.decode(body);
  } catch {
    return { kind: 'malformed', detail: 'the body is not valid UTF-8' };
  }
  try {
    return { kind: 'json', value: JSON.parse(text) };
  } catch {
    return {
      kind: 'malformed',
      detail: text.trim() === '' ? 'the body is empty' : 'the body is not valid JSON',
    };
  }
}

/** Checks a value against the schema of a task. */
export function taskOf(value: unknown): ParsedTask {
  if (!taskValidator.check(value)) return { kind: 'invalid', violations: taskValidator.violations(value) };
  const surrogates = loneSurrogates(value);
  if (surrogates.length > 0) return { kind: 'invalid', violations: surrogates };
  const { context = '', ...task } = value;
  const brought = /\S/.test(context) ? context : undefined;
  return { kind: 'task', task, context: brought, requestHash: requestHashOf(value) };
}

/** SHA-256 over the request in canonical form: the order of its keys does not matter. */
function requestHashOf(task: Task): string {
  const { inputs, constraints, ...flat } = task;
  const nested = inputs === undefined && constraints === undefined ? '' : hashOf([inputs, constraints]);
  return hash('sha256', JSON.stringify([nested, ...Object.entries(flat).sort(byName)]), 'base64url');
}

function byName([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1;
}

/** SHA-256 over any JSON value in canonical form. */
export function hashOf(value: unknown): string {
  return hash('sha256', JSON.stringify(value, sortedKeys), 'base64url');
}

function sortedKeys(_key: string, value: unknown): unknown {
  if (!isObject(value)) return value;
  const entries = Object.entries(value);
  return Object.fromEntries(entries.sort(byName));
}

const utf8 = new TextDecoder('utf-8', { fatal: true });
