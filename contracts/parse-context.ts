import type { ContextSource } from './outcome.js';
import type { ParsedContext } from './threads.js';

/**
 * Reads an answer of the RAG service: UTF-8, JSON, a context and its sources. What is wrong with a source leaves that
 * source out. Never throws; nothing of the answer's content is repeated in what it says.
 */
export function parseContext(answer: Uint8Array): ParsedContext {
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(answer));
  } catch {
    return { kind: 'malformed', detail: 'the RAG service answered what is not JSON' };
  }
  const { context, sources } = (value ?? {}) as { context?: unknown; sources?: unknown };
  if (typeof context !== 'string')
    return { kind: 'malformed', detail: 'the RAG service answered without a context' };
  const listed: unknown[] = Array.isArray(sources) ? sources.slice(0, MAX_SOURCES) : [];
  // JSON can escape half of a surrogate pair; some gateways refuse a prompt with one.
  const text = context.trim() === '' ? '' : context.toWellFormed();
  return { kind: 'context', text, sources: listed.flatMap(sourceOf) };
}

function sourceOf(source: unknown): ContextSource[] {
  const { artifact_id: id, relevance_score } = (source ?? {}) as Record<string, unknown>;
  if (typeof id !== 'string' || id.length > MAX_ID_CHARACTERS) return [];
  const artifact_id = id.toWellFormed();
  // JSON has numbers that are infinite here, and could not be written again.
  const isScore = typeof relevance_score === 'number' && Number.isFinite(relevance_score);
  return [isScore ? { artifact_id, relevance_score } : { artifact_id }];
}

// Sources stand in every outcome, receipt and event: what an answer lists must not make those large.
const MAX_SOURCES = 256;
const MAX_ID_CHARACTERS = 256;
const utf8 = new TextDecoder();
