import { EventEmitter } from 'node:events';
import type { TransferListItem } from 'node:worker_threads';
import { Piscina } from 'piscina';
import type { Config } from '../config/schema.js';
import type {
  Assembled,
  AssembleJob,
  MeasureJob,
  ParsedTask,
  ParseTaskJob,
  Reading,
  ReadJob,
  TokenizerName,
} from '../contracts/threads.js';
import type { ThreadData } from './thread.js';
import { loadVocabulary } from './tokenizers/index.js';

/** The threads of one tier. Each call is retried once on a fresh thread when its thread dies. */
export interface TierPool {
  measure(job: MeasureJob): Promise<number>;
  assemble(job: AssembleJob): Promise<Assembled>;
  /**
   * Reads a stream. Not retried here: the port goes down with the thread, so the reader of the stream opens
   * another and tells the new thread what the old one had read.
   */
  read(job: ReadJob): Promise<Reading>;
}

export interface Pools {
  tier(name: string): TierPool;
  /** Parses a body that is too large for the event loop, on threads of its own: its tier is not known yet. */
  parse(job: ParseTaskJob): Promise<ParsedTask>;
  /** Ends the threads of a tier; what they held is retried on fresh ones. For operators and fault tests. */
  killThreads(tier: string): Promise<void>;
  readonly events: EventEmitter<{ threadDied: [tier: string, error: Error] }>;
  close(): Promise<void>;
}

/** Starts one Piscina a tier; a thread gets only the vocabulary that its tier's model needs. */
export async function openPools(config: Config): Promise<Pools> {
  const events: Pools['events'] = new EventEmitter();
  const loaded = new Map<TokenizerName, SharedArrayBuffer>();
  const vocabularyOf = (name: TokenizerName) => {
    const buffer = loaded.get(name) ?? loadVocabulary(name);
    loaded.set(name, buffer);
    return buffer;
  };
  const open = (name: string, threads: number, data: ThreadData) => {
    const piscina = new Piscina({
      filename: new URL('thread.js', import.meta.url).href,
      minThreads: threads,
      maxThreads: threads,
      // A thread reads as many streams at once as its tier runs: it only holds them, the work is short.
      concurrentTasksPerWorker: 1024,
      maxQueue: Number.POSITIVE_INFINITY,
      resourceLimits: { maxOldGenerationSizeMb: config.threads.max_memory_mb },
      workerData: data,
    });
    piscina.on('error', (error: Error) => events.emit('threadDied', name, error));
    return piscina;
  };
  const tiers = new Map(
    Object.entries(config.tier_models).map(([tier, { model }]) => {
      const name = config.models[model]!.tokenizer;
      const threads = config.queues[tier]!.threads;
      return [tier, open(tier, threads, { vocabularies: { [name]: vocabularyOf(name) } })] as const;
    }),
  );
  const edge = open('edge', 1, { vocabularies: {} });
  const run = <R>(tier: string, piscina: Piscina, name: string, job: unknown): Promise<R> =>
    piscina.run(job, { name }).catch((error: Error) => {
      events.emit('threadDied', tier, error);
      return piscina.run(job, { name });
    });
  await Promise.all([...tiers.values()].map((piscina) => piscina.run(undefined, { name: 'warm' })));
  return {
    events,
    tier: (tier) => {
      const piscina = tiers.get(tier)!;
      return {
        measure: (job) => run(tier, piscina, 'measure', job),
        assemble: (job) => run(tier, piscina, 'assemble', job),
        read: (job) => {
          const transferList = job.port === undefined ? [] : [job.port as unknown as TransferListItem];
          return piscina.run(job, { name: 'read', transferList: transferList as never });
        },
      };
    },
    parse: (job) => run('edge', edge, 'parse', job),
    killThreads: async (tier) => {
      await Promise.all(tiers.get(tier)!.threads.map((thread) => thread.terminate()));
    },
    close: async () => {
      await Promise.all([...tiers.values(), edge].map((piscina) => piscina.destroy()));
    },
  };
}
