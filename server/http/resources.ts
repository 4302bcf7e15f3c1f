import { Registry } from 'prom-client';
import { idPattern, taskLimits } from '../../contracts/task.js';
import type { TaskRecord } from '../store/store.js';
import { storedOutput } from '../store/stored-output.js';
import type { HttpParts } from './parts.js';
import { completedJson, json, type Reply, refusal } from './reply.js';

export async function taskStatus({ tasks, store, leases }: HttpParts, id: string): Promise<Reply> {
  if (!isId(id)) return notFound('task', id);
  let record = await store.find(id);
  if (record?.final !== true) {
    // Who repeats a task that has ended holds its lease for a moment, too: the record was asked first.
    if (tasks.isRunning(id) || (await leases.isHeld(id))) return json({ task_id: id, status: 'running' });
    // It may have ended since.
    record = await store.find(id);
  }
  if (record?.final !== true) {
    // A failure that is tried again waits in the broker like a task that was never tried.
    const pending = await store.pending(id);
    if (pending?.queuedHash !== undefined) return json({ task_id: id, status: 'queued' });
  }
  if (record === undefined) return notFound('task', id);
  const { outcome, final } = record;
  if (outcome.status === 'failed') return json({ task_id: id, status: 'failed', outcome });
  const output = await storedOutput(store, record);
  // It became too old between the two reads.
  if (output === undefined) return notFound('task', id);
  const body = Buffer.concat([
    Buffer.from(`${JSON.stringify({ task_id: id, status: 'completed' }).slice(0, -1)},"outcome":`),
    completedJson({ outcome, output, final }),
    Buffer.from('}'),
  ]);
  return { status: 200, contentType: 'application/json', body };
}

export async function cancelTask({ tasks, store, leases }: HttpParts, id: string): Promise<Reply> {
  if (!isId(id)) return notFound('task', id);
  const cancelling = json({ task_id: id, status: 'cancelling' }, 202);
  if (await tasks.cancel(id)) return cancelling;
  const record = await store.find(id);
  if (record?.final !== true) {
    const isSomewhere = async () =>
      (await store.pending(id))?.queuedHash !== undefined || (await leases.isHeld(id));
    if (tasks.isAwaited(id) || (await isSomewhere())) {
      await tasks.cancelWherever(id, '');
      // It may have ended before that was noted.
      const ended = await store.find(id);
      if (ended?.final !== true || isCancelled(ended)) return cancelling;
      return hasEnded(ended);
    }
  }
  return record === undefined ? notFound('task', id) : hasEnded(record);
}
function isCancelled({ outcome }: TaskRecord): boolean {
  return outcome.status === 'failed' && outcome.code === 'cancelled';
}

function hasEnded({ outcome }: TaskRecord): Reply {
  return refusal('task_conflict', `the task has ended: ${outcome.status}`);
}

export async function receipt(parts: HttpParts, id: string): Promise<Reply> {
  const found = isId(id) ? await parts.store.receipt(id) : undefined;
  if (found !== undefined) return json(found);
  const isKnown = (await taskStatus(parts, id)).status === 200;
  return isKnown
    ? refusal('not_found', `the task ${id} has not ended: no receipt yet`)
    : notFound('task', id);
}

export async function artifact({ store }: HttpParts, id: string): Promise<Reply> {
  const found = isId(id) ? await store.artifact(id) : undefined;
  if (found === undefined) return notFound('artifact', id);
  const head = JSON.stringify({
    artifact_id: found.artifactId,
    task_id: found.taskId,
    domain: found.domain,
    created_at: new Date(found.createdAt).toISOString(),
  });
  const body = Buffer.concat([Buffer.from(`${head.slice(0, -1)},"output":`), found.output, Buffer.from('}')]);
  return { status: 200, contentType: 'application/json', body };
}

export async function metrics({ metricsText }: HttpParts): Promise<Reply> {
  return { status: 200, contentType: Registry.PROMETHEUS_CONTENT_TYPE, body: await metricsText() };
}

export async function ready({ health }: HttpParts): Promise<Reply> {
  const state = await health.ready();
  return json(state, state.ready ? 200 : 503);
}

function notFound(what: string, id: string): Reply {
  return refusal('not_found', isId(id) ? `there is no ${what} ${id}` : `there is no such ${what}`);
}

const id = new RegExp(idPattern);

function isId(text: string): boolean {
  return text.length <= taskLimits.idCharacters && id.test(text);
}
