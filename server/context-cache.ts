import NodeCache from 'node-cache';
import type { RetrievedContext } from '../contracts/threads.js';
import { sizeOfText } from '../pool/large-text.js';

export interface ContextCacheLimits {
  /** Age at which an entry is dropped, in seconds. */
  readonly ttlSeconds: number;
  /** 0 keeps nothing. */
  readonly maxEntries: number;
  /** Of the texts and what describes their sources, in bytes, roughly; what is larger by itself is not kept. */
  readonly maxBytes: number;
}

/** Answers of the RAG service, bounded by age, number and size; the oldest make room. */
export class ContextCache {
  readonly #cache: NodeCache;
  readonly #limits: ContextCacheLimits;
  /** Bytes by key, oldest first. */
  readonly #sizes = new Map<string, number>();
  #bytes = 0;

  constructor(limits: ContextCacheLimits) {
    this.#limits = limits;
    this.#cache = new NodeCache({ stdTTL: limits.ttlSeconds, useClones: false, checkperiod: 60 });
    // Of what has expired, too.
    this.#cache.on('del', (key: string) => {
      this.#bytes -= this.#sizes.get(key) ?? 0;
      this.#sizes.delete(key);
    });
  }

  get(key: string): RetrievedContext | undefined {
    return this.#cache.get<RetrievedContext>(key);
  }

  set(key: string, context: RetrievedContext): void {
    const { maxEntries, maxBytes } = this.#limits;
    const bytes = sizeOf(context);
    this.#cache.del(key);
    if (maxEntries === 0 || bytes > maxBytes) return;
    for (const oldest of this.#sizes.keys()) {
      if (this.#sizes.size < maxEntries && this.#bytes + bytes <= maxBytes) break;
      this.#cache.del(oldest);
    }
    this.#sizes.set(key, bytes);
    this.#bytes += bytes;
    this.#cache.set(key, context);
  }

  close(): void {
    this.#cache.close();
  }
}

function sizeOf({ text, sources }: RetrievedContext): number {
  return sizeOfText(text) + JSON.stringify(sources).length;
}
