import { cloudEventsMediaType } from './events.js';
import { isObject } from './objects.js';
import { readJson, taskOf } from './parse-task.js';
import { idPattern, taskLimits } from './task.js';
import type { EventAttributes, ParsedEvent, ParseEventJob } from './threads.js';

/**
 * Reads an event from the bytes of a message: a CloudEvent 1.0 in structured or in binary mode (AMQP binding:
 * attributes in headers that begin with `cloudEvents:`, or `cloudEvents_`, `ce-` and `ce_` as some senders have
 * it), or the bare data. Never throws; nothing of the sender's content is repeated in what it says.
 */
export function parseEvent({ body, contentType, headers }: ParseEventJob): ParsedEvent {
  const read = readJson(body);
  const attributes = headerAttributes(headers);
  if (read.kind === 'malformed') return { parsed: read, attributes, claims: noClaims };
  const envelope = structuredEnvelope(read.value, contentType);
  if (envelope === undefined) {
    return { parsed: taskOf(read.value), attributes, claims: claimsOf(read.value) };
  }
  const all = { ...attributes, ...envelopeAttributes(envelope) };
  const data = dataOf(envelope);
  if ('fault' in data) {
    const violations = [{ path: data.path, message: data.fault }];
    return { parsed: { kind: 'invalid', violations }, attributes: all, claims: claimsOf(envelope.data) };
  }
  return { parsed: taskOf(data.value), attributes: all, claims: claimsOf(data.value) };
}

/** The data of an event that is not a task, e.g. of `task.cancelled`; undefined when there is none. */
export function eventData({ body, contentType }: Omit<ParseEventJob, 'headers'>): unknown {
  const read = readJson(body);
  if (read.kind === 'malformed') return undefined;
  const envelope = structuredEnvelope(read.value, contentType);
  if (envelope === undefined) return read.value;
  const data = dataOf(envelope);
  return 'fault' in data ? undefined : data.value;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * The envelope of a message in structured mode; undefined when the body is the data itself. Attributes in headers tell
 * nothing: some senders repeat them there, for filters (AMQP binding, 3: the content type decides).
 */
function structuredEnvelope(value: unknown, contentType: string | undefined): Fields | undefined {
  if (!isObject(value)) return undefined;
  const declared = contentType?.toLowerCase().startsWith(cloudEventsMediaType) ?? false;
  return declared || 'specversion' in value ? value : undefined;
}

function dataOf(envelope: Fields): { value: unknown } | { path: string; fault: string } {
  if (envelope.specversion !== '1.0') return { path: '/specversion', fault: 'must be "1.0"' };
  if (typeof envelope.data_base64 === 'string') {
    const read = readJson(Buffer.from(envelope.data_base64, 'base64'));
    return read.kind === 'json'
      ? read
      : { path: '/data_base64', fault: read.detail.replace('the body', 'the data') };
  }
  if (envelope.data === undefined) return { path: '/data', fault: 'is required' };
  // Some senders put the data into a text although they call it JSON.
  if (typeof envelope.data !== 'string') return { value: envelope.data };
  const read = readJson(Buffer.from(envelope.data));
  return read.kind === 'json' ? read : { path: '/data', fault: 'must be of type object' };
}

function headerAttributes(headers: Fields): EventAttributes {
  const attributes: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    const attribute = /^(?:cloudEvents[:_]|ce[-_])(.+)$/i.exec(name)?.[1] ?? name;
    if (known.has(attribute.toLowerCase()) && typeof value === 'string')
      attributes[attribute.toLowerCase()] = value;
  }
  return attributes;
}

function envelopeAttributes(envelope: Fields): EventAttributes {
  return Object.fromEntries(
    Object.entries(envelope).filter(
      (entry): entry is [string, string] => known.has(entry[0]) && typeof entry[1] === 'string',
    ),
  );
}

const known: ReadonlySet<string> = new Set(['traceparent', 'tracestate', 'correlationid', 'expirytime']);

/** What a message says of itself, whether or not it is valid. */
function claimsOf(value: unknown): ParsedEvent['claims'] {
  if (!isObject(value)) return noClaims;
  const { task_id, domain } = value;
  const isId = typeof task_id === 'string' && task_id.length <= taskLimits.idCharacters && id.test(task_id);
  return {
    taskId: isId ? task_id : undefined,
    domain: typeof domain === 'string' ? domain.slice(0, 64) : undefined,
  };
}

const noClaims: ParsedEvent['claims'] = { taskId: undefined, domain: undefined };
const id = new RegExp(idPattern);
