import { Agent } from 'undici';
import type { Config } from '../config/schema.js';
import { parseContext } from '../contracts/parse-context.js';
import { hashOf } from '../contracts/parse-task.js';
import type { RetrievedContext } from '../contracts/threads.js';
import type { TraceContext } from '../contracts/trace-context.js';
import { INLINE_BYTES, type Pools } from '../pool/pools.js';
import { basicAuthorizationOf } from './basic-authorization.js';
import { ContextCache } from './context-cache.js';
import type { Deadline } from './deadline.js';

export interface RagQuery {
  readonly query: string;
  readonly domain: string;
  readonly projectId: string | undefined;
  readonly maxTokens: number;
}

/** The client of the RAG service. */
export interface Rag {
  /** Context for a task, or why there is none. Never throws: a task goes on without context. */
  retrieve(
    query: RagQuery,
    deadline: Deadline,
    trace: TraceContext | undefined,
  ): Promise<RetrievedContext | { readonly degraded: string }>;
  /** Questions since the start, by what became of them. */
  readonly counts: Readonly<Record<'hit' | 'joined' | 'answered' | 'failed', number>>;
  /** Whether something answers at the service's address. Any HTTP answer counts. */
  probe(signal: AbortSignal): Promise<boolean>;
  close(): Promise<void>;
}

/**
 * Asks `POST {url}/query`, as the user that the URL names; caches by project, domain and query; joins equal queries
 * that are under way. Large answers are parsed in a thread.
 */
export function openRag(config: Config, ragUrl: string, pools: Pick<Pools, 'parseContext'>): Rag {
  const { rag } = config;
  const agent = new Agent({ connections: 64, connect: { timeout: rag.timeout_ms } });
  const base = new URL(ragUrl);
  const credentials = basicAuthorizationOf(base);
  const authorization = credentials === undefined ? {} : { authorization: credentials };
  const cache = new ContextCache({
    ttlSeconds: rag.cache_ttl_seconds,
    maxEntries: rag.cache_max_entries,
    maxBytes: rag.cache_max_bytes,
  });
  const counts = { hit: 0, joined: 0, answered: 0, failed: 0 };
  const underWay = new Map<string, Promise<RetrievedContext>>();

  const ask = async (
    { query, projectId, maxTokens }: RagQuery,
    trace: TraceContext | undefined,
  ): Promise<RetrievedContext> => {
    const signal = AbortSignal.timeout(rag.timeout_ms);
    const response = await agent.request({
      origin: base.origin,
      path: `${base.pathname.replace(/\/+$/, '')}/query`,
      method: 'POST',
      headers: { 'content-type': 'application/json', ...authorization, ...trace },
      body: JSON.stringify({ query, project_id: projectId, max_tokens: maxTokens, search_mode: 'hybrid' }),
      signal,
    });
    if (response.statusCode !== 200) {
      await response.body.dump();
      throw new Error(`the RAG service answered ${response.statusCode}`);
    }
    const answer = await bytesUpTo(response.body, rag.max_response_bytes);
    const parsed =
      answer.length <= INLINE_BYTES
        ? parseContext(answer)
        : await unlessAborted(pools.parseContext({ answer }), signal);
    if (parsed.kind === 'malformed') throw new Error(parsed.detail);
    return { text: parsed.text, sources: parsed.sources };
  };
  const askTwice = async (query: RagQuery, trace: TraceContext | undefined): Promise<RetrievedContext> => {
    for (let left = rag.retries; ; left--) {
      try {
        return await ask(query, trace);
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
    const asked = askTwice(query, trace)
      .then((context) => {
        counts.answered++;
        cache.set(key, context);
        return context;
      })
      .catch((error: Error) => {
        counts.failed++;
        throw error;
      })
      .finally(() => underWay.delete(key));
    underWay.set(key, asked);
    return asked;
  };
  return {
    counts,
    retrieve: async (query, deadline, trace) => {
      try {
        const asked = lookUp(query, trace);
        asked.catch(() => {}); // whoever joined hears of it; the deadline may have ended this wait before
        return await untilInterrupted(asked, deadline);
      } catch (error) {
        return { degraded: reasonOf(error as Error & { code?: unknown }, rag.timeout_ms) };
      }
    },
    probe: async (signal) => {
      try {
        const path = `${base.pathname.replace(/\/+$/, '')}/health`;
        const { body } = await agent.request({
          origin: base.origin,
          path,
          method: 'GET',
          headers: authorization,
          signal,
        });
        await body.dump();
        return true;
      } catch {
        return false;
      }
    },
    close: async () => {
      cache.close();
      await agent.destroy();
    },
  };
}

async function bytesUpTo(body: AsyncIterable<Buffer>, maxBytes: number): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of body) {
    bytes += part.length;
    if (bytes > maxBytes) throw new Error(`the RAG service's answer is larger than ${maxBytes} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** A thread that is busy with other bodies is waited for no longer than the service itself. */
function unlessAborted<T>(pending: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
    pending.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
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
