import { hash } from 'node:crypto';
import { cloudEventsMediaType, eventSource, eventTypes } from '../../contracts/events.js';
import { type TraceContext, traceContextOf } from '../../contracts/trace-context.js';
import { outcomeJson } from '../outcome-json.js';
import type { TaskRecord } from '../store/store.js';
import { isShort } from './message.js';
import type { Outgoing } from './outgoing.js';
import type { Names } from './topology.js';

/** The terminal event of a task: a CloudEvent 1.0 in structured JSON, ready to be published. */
export function outcomeEvent(record: TaskRecord, output: Uint8Array | undefined, names: Names): Outgoing {
  const { taskId, finishedAt, outcome, origin } = record;
  const completed = outcome.status === 'completed';
  const type = completed ? eventTypes.taskOutputCreated : eventTypes.taskFailed;
  const id = terminalEventId(taskId, origin?.replay);
  // A message may hold anything there: what fits into no header would keep the event from ever being published.
  const trace: TraceContext = traceContextOf(origin?.traceparent ?? '', origin?.tracestate ?? '') ?? {};
  const { correlationId } = origin ?? {};
  const envelope = JSON.stringify({
    specversion: '1.0',
    type,
    source: eventSource,
    id,
    time: new Date(finishedAt).toISOString(),
    subject: taskId,
    datacontenttype: 'application/json',
    ...trace,
    ...(correlationId !== undefined && { correlationid: correlationId }),
  });
  return {
    exchange: names.exchange,
    routingKey: completed ? names.routing.outputCreated : names.routing.failed,
    content: withData(envelope, outcomeJson(outcome), completed ? output : undefined),
    options: {
      messageId: id,
      type,
      timestamp: Math.floor(finishedAt / 1000),
      contentType: cloudEventsMediaType,
      appId: 'worker-service',
      ...(isShort(correlationId) && { correlationId }),
      ...(Object.keys(trace).length > 0 && { headers: trace }),
    },
  };
}

/**
 * A function of the task_id alone, so that races collapse and consumers drop what they have seen. A task that an
 * operator replays from the dead letters has a new life, and its end a new id.
 */
export function terminalEventId(taskId: string, replay = 0): string {
  const digest = hash('sha256', `terminal:${taskId}${replay > 0 ? `:${replay}` : ''}`).slice(0, 32);
  return `outcome-${digest}`;
}

/** Data and output are JSON already: they go into the envelope as they are. */
function withData(envelope: string, data: string, output: Uint8Array | undefined): Buffer {
  const opening = `${envelope.slice(0, -1)},"data":${data.slice(0, -1)}`;
  if (output === undefined) return Buffer.from(`${opening}}}`);
  return Buffer.concat([Buffer.from(`${opening},"output":`), output, CLOSE]);
}

const CLOSE = Buffer.from('}}');
