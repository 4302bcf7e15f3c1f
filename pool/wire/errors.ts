import { excerpt } from '../../contracts/excerpt.js';
import { isBusy, readError } from '../../contracts/gateway-errors.js';
import type { Message, StreamError } from './wire.js';

/** The error that a message brings, in place of an answer or in the middle of it. */
export function errorIn(message: Message): StreamError | undefined {
  // vLLM before 0.10, Mistral: the message is the error.
  return errorOf(message.object === 'error' ? message : message.error);
}

/** An answer was under way that has one: it is a stream that broke. */
export function errorOfChoice(value: unknown): StreamError | undefined {
  const error = errorOf(value);
  return error && { ...error, busy: false };
}

function errorOf(value: unknown): StreamError | undefined {
  if (value === undefined || value === null || value === false || value === '') return undefined;
  return streamError(value);
}

/** What a gateway has sent as an error, whatever its form. */
export function streamError(value: unknown): StreamError {
  const { message, status, isOfCaller, about } = readError(value);
  return {
    detail: message || excerpt(written(value), 500),
    retryable: !isOfCaller,
    ...(status !== undefined && isBusy(status) && { busy: true }),
    ...(about !== undefined && { about }),
  };
}

function written(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return 'it cannot be written, because it is nested too deep';
  }
}
