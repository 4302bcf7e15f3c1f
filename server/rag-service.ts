import { Agent } from 'undici';
import type { Config } from '../config/schema.js';
import { parseContext } from '../contracts/parse-context.js';
import type { RetrievedContext } from '../contracts/threads.js';
import type { TraceContext } from '../contracts/trace-context.js';
import { INLINE_BYTES, type Pools } from '../pool/pools.js';
import { answers } from './answers.js';
import { basicAuthorizationOf } from './basic-authorization.js';

export interface RagQuery {
  readonly query: string;
  readonly domain: string;
  readonly projectId: string | undefined;
  readonly maxTokens: number;
}

/** The RAG service, as it is spoken to. */
export interface RagService {
  /**
   * Asks `POST {url}/query` once, as the user that the URL names. Large answers are parsed in a thread.
   * @throws a `TimeoutError` after `rag.timeout_ms`, and an error that says what was wrong with the answer.
   */
  ask(query: RagQuery, trace: TraceContext | undefined): Promise<RetrievedContext>;
  /** Whether something answers at the service's address. Any HTTP answer counts. */
  probe(signal: AbortSignal): Promise<boolean>;
  close(): Promise<void>;
}

export function openRagService(
  rag: Config['rag'],
  ragUrl: string,
  pools: Pick<Pools, 'parseContext'>,
): RagService {
  const agent = new Agent({ connections: 64, connect: { timeout: rag.timeout_ms } });
  const base = new URL(ragUrl);
  const path = base.pathname.replace(/\/+$/, '');
  const credentials = basicAuthorizationOf(base);
  const authorization = credentials === undefined ? {} : { authorization: credentials };
  return {
    ask: async ({ query, projectId, maxTokens }, trace) => {
      const signal = AbortSignal.timeout(rag.timeout_ms);
      const response = await agent.request({
        origin: base.origin,
        path: `${path}/query`,
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
    },
    probe: (signal) =>
      answers(agent, { origin: base.origin, path: `${path}/health`, headers: authorization, signal }),
    close: () => agent.destroy(),
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
