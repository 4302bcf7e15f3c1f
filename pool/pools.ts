import { EventEmitter } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { builtFile } from '../config/package-root.js';
import type { Config } from '../config/schema.js';
import type {
  Assembled,
  AssembleJob,
  MeasureJob,
  ParseContextJob,
  ParsedContext,
  ParsedEvent,
  ParsedTask,
  ParseEventJob,
  ParseTaskJob,
  Reading,
  ReadJob,
  TokenizerName,
} from '../contracts/threads.js';
import { Batches } from './batches.js';
import type { ThreadData } from './thread.js';
import { loadVocabulary } from './tokenizers/vocabulary-file.js';

/** The threads of one tier. Each call is tried once more on a fresh thread when its thread dies. */
export interface TierPool {
  measure(job: MeasureJob): Promise<number>;
  assemble(job: AssembleJob): Promise<Assembled>;
  /**
   * Reads a stream, or goes on with one. With a port it is not retried here: the port goes down with the thread, so
   * the reader of the stream opens another and tells the new thread what the old one had read.
   */
  read(job: ReadJob): Promise<Reading>;
}

/** The file that holds the code of the threads. */
export const threadBundle = fileURLToPath(builtFile('pool/thread.bundle.cjs'));

/** What has at most so many bytes is parsed faster on the event loop than it would get to a thread. */
export const INLINE_BYTES = 16_384;

export interface Pools {
  tier(name: string): TierPool;
  /** Parses a body that is too large for the event loop, on threads of its own: its tier is not known yet. */
  parse(job: ParseTaskJob): Promise<ParsedTask>;
  /** The same for a message that is too large for the event loop. */
  parseEvent(job: ParseEventJob): Promise<ParsedEvent>;
  /** The same for an answer of the RAG service that is too large for the event loop. */
  parseContext(job: ParseContextJob): Promise<ParsedContext>;
  /** Share of their time that the threads of a tier have worked, from 0 to 1. */
  utilization(tier: string): number;
  /** Jobs of a tier that no thread has taken yet. */
  waiting(tier: string): number;
  /** Ends the threads of a tier; what they held is retried on fresh ones. For fault tests. */
  killThreads(tier: string): Promise<void>;
  readonly events: EventEmitter<{ threadDied: [tier: string, error: Error] }>;
  close(): Promise<void>;
}

/** Starts one Piscina a tier; a thread gets only the vocabulary that its tier's model needs. */
export async function openPools(config: Config): Promise<Pools> {
  const events: Pools['events'] = new EventEmitter();
  const told = new WeakSet<Error>();
  let closing = false;
  // All that a thread held fails with one and the same error.
  const died = (name: string, error: Error) => {
    if (closing || told.has(error)) return;
    told.add(error);
    events.emit('threadDied', name, error);
  };
  const loaded = new Map<TokenizerName, SharedArrayBuffer>();
  const vocabularyOf = (name: TokenizerName) => {
    const buffer = loaded.get(name) ?? loadVocabulary(name);
    loaded.set(name, buffer);
    return buffer;
  };
  const open = (
    name: string,
    { threads, nice }: { threads: number; nice: number },
    data: Omit<ThreadData, 'bundle'>,
  ) => {
    const piscina = new Piscina({
      filename: builtFile('pool/thread-start.cjs').href,
      name: 'warm',
      minThreads: threads,
      maxThreads: threads,
      niceIncrement: nice,
      // A thread reads as many streams at once as its tier runs: it only holds them, the work is short.
      concurrentTasksPerWorker: 1024,
      maxQueue: Number.POSITIVE_INFINITY,
      resourceLimits: { maxOldGenerationSizeMb: config.threads.max_memory_mb },
      workerData: { ...data, bundle: threadBundle } satisfies ThreadData,
    });
    piscina.on('error', (error: Error) => died(name, error));
    return piscina;
  };
  const edge = open('edge', { threads: 1, nice: 0 }, { vocabularies: {} });
  const piscinas = [edge];
  const tiers = new Map(
    Object.entries(config.tier_models).map(([tier, { model }]) => {
      const name = config.models[model]!.tokenizer;
      const piscina = open(tier, config.queues[tier]!, {
        vocabularies: { [name]: vocabularyOf(name) },
      });
      piscinas.push(piscina);
      return [tier, { piscina, pool: tierPool(piscina, (error) => died(tier, error)) }] as const;
    }),
  );
  await Promise.all([...tiers.values()].map(({ piscina }) => piscina.run(undefined, { name: 'warm' })));
  const onEdge = (job: ParseTaskJob | ParseEventJob | ParseContextJob, name: string) =>
    edge.run(job, { name }).catch((error: Error) => {
      died('edge', error);
      return edge.run(job, { name });
    });
  return {
    events,
    tier: (tier) => tiers.get(tier)!.pool,
    parse: (job) => onEdge(job, 'parse'),
    parseEvent: (job) => onEdge(job, 'parseMessage'),
    parseContext: (job) => onEdge(job, 'parseAnswer'),
    utilization: (tier) => tiers.get(tier)!.piscina.utilization,
    waiting: (tier) => tiers.get(tier)!.piscina.queueSize,
    killThreads: async (tier) => {
      await Promise.all(tiers.get(tier)!.piscina.threads.map((thread) => thread.terminate()));
    },
    close: async () => {
      closing = true;
      await Promise.all(piscinas.map((piscina) => piscina.destroy()));
    },
  };
}

function tierPool(piscina: Piscina, onDeath: (error: Error) => void): TierPool {
  const batches = new Batches((jobs) => piscina.run(jobs, { name: 'batch' }), onDeath);
  return {
    measure: (job) => batches.add({ kind: 'measure', job }),
    assemble: (job) => batches.add({ kind: 'assemble', job }),
    read: (job) => {
      if (job.port === undefined) return batches.add({ kind: 'read', job });
      // Piscina's own type of a transfer list knows no MessagePort of @types/node 20.
      return piscina.run(job, { name: 'read', transferList: [job.port] as never }).catch((error: Error) => {
        onDeath(error);
        throw error;
      });
    },
  };
}
