import type { Failed } from '../contracts/outcome.js';
import type { CompletedHead, TaskRecord } from './store/store.js';

const texts = new WeakMap<CompletedHead | Failed, string>();

/** An outcome as JSON. Record, answer and event say the same one, so it is written once (bench: execute). */
export function outcomeJson(outcome: CompletedHead | Failed): string {
  let text = texts.get(outcome);
  if (text === undefined) {
    text = JSON.stringify(outcome);
    texts.set(outcome, text);
  }
  return text;
}

/** A record as JSON. */
export function recordJson({ outcome, ...record }: TaskRecord): string {
  return `${JSON.stringify(record).slice(0, -1)},"outcome":${outcomeJson(outcome)}}`;
}
