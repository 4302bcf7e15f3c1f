import type { Config } from '../config/schema.js';
import { hashOf } from '../contracts/parse-task.js';
import type { RetrievedContext } from '../contracts/threads.js';
import type { TraceContext } from '../contracts/trace-context.js';
import type { Pools } from '../pool/pools.js';
import { ContextCache } from './context-cache.js';
import type { Deadline } from './deadline.js';
import { RagCircuit, RagHangs } from './rag-circuit.js';
import { openRagService, type RagQuery, type RagService } from './rag-service.js';

/** The client of the RAG service. */
export interface Rag extends Pick<RagService, 'probe' | 'close'> {
  /** Context for a task, or why there is none. Never throws: a task goes on without context. */
  retrieve(
    query: RagQuery,
    deadline: Deadline,
    trace: TraceContext | undefined,
  ): Promise<RetrievedContext | { readonly degraded: string }>;
  /** Questions since the start, by what became of them. */
  readonly counts: Readonly<Record<'hit' | 'joined' | 'answered' | 'failed' | 'not_asked', number>>;
  /** Since when queries get no answer in time, in milliseconds since the epoch; undefined while they do. */
  readonly hangsSince: number | undefined;
}

/** Caches answers by project, domain and query; joins equal queries that are under way; spares a service that hangs. */
export function openRag(config: Config, ragUrl: string, pools: Pick<Pools, 'parseContext'>): Rag {
  const { rag } = config;
  const service = openRagService(rag, ragUrl, pools);
  const circuit = new RagCircuit(rag);
  const cache = new ContextCache({
    ttlSeconds: rag.cache_ttl_seconds,
    maxEntries: rag.cache_max_entries,
    maxBytes: rag.cache_max_bytes,
  });
  const counts = { hit: 0, joined: 0, answered: 0, failed: 0, not_asked: 0 };
  const underWay = new Map<string, Promise<RetrievedContext>>();

  const askAgain = async (query: RagQuery, trace: TraceContext | undefined): Promise<RetrievedContext> => {
    for (let left = rag.retries; ; left--) {
      try {
        return await service.ask(query, trace);
      } catch (error) {
        if (left <= 0) throw error;
      }
    }
  };
  const lookUp = (query: RagQuery, trace: TraceContext | undefined): Promise<RetrievedContext> => {
    const key = hashOf([query.projectId, query.domain, query.query, query.maxTokens]);
    const known = cache.get(key);
    if (known !== undefined) {
      counts.hit++;
      return Promise.resolve(known);
    }
    const joined = underWay.get(key);
    if (joined !== undefined) {
      counts.joined++;
      return joined;
    }
    const asked = circuit
      .run(() => askAgain(query, trace))
      .then((context) => {
        counts.answered++;
        cache.set(key, context);
        return context;
      })
      .catch((error: Error) => {
        counts[error instanceof RagHangs ? 'not_asked' : 'failed']++;
        throw error;
      })
      .finally(() => underWay.delete(key));
    underWay.set(key, asked);
    return asked;
  };
  return {
    counts,
    get hangsSince() {
      return circuit.hangsSince;
    },
    retrieve: async (query, deadline, trace) => {
      try {
        const asked = lookUp(query, trace);
        asked.catch(() => {}); // whoever joined hears of it; the deadline may have ended this wait before
        return await untilInterrupted(asked, deadline);
      } catch (error) {
        return { degraded: reasonOf(error as Error & { code?: unknown }, rag.timeout_ms) };
      }
    },
    probe: (signal) => service.probe(signal),
    close: async () => {
      cache.close();
      await service.close();
    },
  };
}

function untilInterrupted(
  asked: Promise<RetrievedContext>,
  deadline: Deadline,
): Promise<RetrievedContext | { readonly degraded: string }> {
  return new Promise((resolve, reject) => {
    const forget = deadline.onInterruption(() => resolve({ degraded: 'the deadline passed' }));
    asked.then(resolve, reject).finally(forget);
  });
}

/** Several addresses that all fail make an error without a message: its code tells more. */
function reasonOf({ name, code, message }: Error & { code?: unknown }, timeoutMs: number): string {
  if (name === 'TimeoutError') return `the RAG service did not answer within ${timeoutMs} ms`;
  return typeof code === 'string' ? `the RAG service did not answer: ${code}` : message;
}
