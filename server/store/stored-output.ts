import type { ArtifactStore, TaskRecord } from './store.js';

/**
 * The output that a record tells of, JSON in UTF-8; undefined when the task failed.
 * @throws StoreUnavailable
 */
export async function storedOutput(
  store: Pick<ArtifactStore, 'artifact'>,
  { outcome }: Pick<TaskRecord, 'outcome'>,
): Promise<Uint8Array | undefined> {
  if (outcome.status === 'failed') return undefined;
  return (await store.artifact(outcome.artifact_id))?.output;
}
