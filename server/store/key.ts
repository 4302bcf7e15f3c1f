import { idPattern, taskLimits } from '../../contracts/task.js';

const key = new RegExp(idPattern);

/** Whether an engine takes the text as the id of a task or an artifact. */
export function isKey(id: string): boolean {
  return id.length <= taskLimits.idCharacters && key.test(id);
}

/** A key that the engine refuses would fail the writes of other tasks beside it. */
export function requireKey(id: string): string {
  if (!isKey(id)) throw new TypeError(`not an id: ${JSON.stringify(id)}`);
  return id;
}
