import Type from '../../contracts/typebox.js';
import { gib, kib, mib } from './sizes.js';
import { baseUrl } from './texts.js';

export const Rag = Type.Object(
  {
    url: Type.Optional(
      baseUrl(
        'Base URL of the RAG service, http or https; user and password in it are sent. Default: none, the embedded retriever answers.',
      ),
    ),
    timeout_ms: Type.Integer({
      default: 2_000,
      minimum: 1,
      maximum: 600_000,
      description:
        'Longest time for one query, in milliseconds; then it is asked again (`retries`), and after the last one the task goes on without context.',
    }),
    retries: Type.Integer({
      default: 1,
      minimum: 0,
      maximum: 10,
      description: 'Further queries after one that failed.',
    }),
    breaker_failures: Type.Integer({
      default: 5,
      minimum: 1,
      maximum: 1_000_000,
      description:
        'Queries without an answer in time, one after the other, before the RAG service counts as hanging, and tasks go on without context at once.',
    }),
    breaker_open_ms: Type.Integer({
      default: 5_000,
      minimum: 1,
      maximum: 3_600_000,
      description:
        'Time that a RAG service that hangs is left alone before one query tries it, in milliseconds.',
    }),
    max_response_bytes: Type.Integer({
      default: 8 * mib,
      minimum: kib,
      maximum: gib,
      description: 'Largest answer, in bytes.',
    }),
    cache_ttl_seconds: Type.Number({
      default: 300,
      minimum: 0.001,
      maximum: 604_800,
      description: 'Age at which a cached answer is dropped, in seconds.',
    }),
    cache_max_entries: Type.Integer({
      default: 1_000,
      minimum: 0,
      maximum: 1_000_000,
      description: 'Most answers in the cache; 0 turns it off.',
    }),
    cache_max_bytes: Type.Integer({
      default: 64 * mib,
      minimum: kib,
      maximum: 16 * gib,
      description:
        'Largest size of the cache in each worker, in bytes; the oldest answers make room, and an answer that is larger by itself is not kept.',
    }),
    max_context_tokens: Type.Integer({
      default: 8_192,
      minimum: 1,
      maximum: 10_000_000,
      description: 'Most context asked for, in tokens; less when the model’s window leaves less.',
    }),
  },
  { additionalProperties: false, description: 'Retrieval of context from the RAG service.' },
);
