import { type MessagePort, workerData } from 'node:worker_threads';
import { parseContext } from '../contracts/parse-context.js';
import { parseEvent } from '../contracts/parse-event.js';
import { parseTask } from '../contracts/parse-task.js';
import type {
  Assembled,
  BatchedJob,
  BatchedResult,
  ParseContextJob,
  ParsedContext,
  ParsedEvent,
  ParsedTask,
  ParseEventJob,
  ParseTaskJob,
  Reading,
  ReadJob,
  ReadMore,
  StreamEnd,
  TokenizerName,
} from '../contracts/threads.js';
import { assemble, measure } from './assemble.js';
import { packText } from './large-text.js';
import { StreamReader } from './stream-reader.js';
import { openTokenizer, type Tokenizer } from './tokenizers/index.js';

/** What a thread is born with. */
export interface ThreadData {
  /** The file that holds its code. */
  readonly bundle: string;
  readonly vocabularies: Readonly<Partial<Record<TokenizerName, SharedArrayBuffer>>>;
}

export function parse(job: ParseTaskJob): ParsedTask {
  return packed(parseTask(job.body));
}

export function parseMessage(job: ParseEventJob): ParsedEvent {
  const event = parseEvent(job);
  return { ...event, parsed: packed(event.parsed) };
}

export function parseAnswer(job: ParseContextJob): ParsedContext {
  const parsed = parseContext(job.answer);
  if (parsed.kind !== 'context' || typeof parsed.text !== 'string') return parsed;
  return { kind: parsed.kind, text: packText(parsed.text), sources: parsed.sources };
}

function packed(parsed: ParsedTask): ParsedTask {
  if (parsed.kind !== 'task' || typeof parsed.context !== 'string') return parsed;
  return { ...parsed, context: packText(parsed.context) };
}

/** Runs jobs one after the other; none of them waits for anything. */
export function batch(
  jobs: readonly BatchedJob[],
): readonly BatchedResult[] | Promise<readonly BatchedResult[]> {
  // Pushed, as the jobs are (Batches).
  const results: BatchedResult[] = [];
  for (const job of jobs) results.push(resultOf(job));
  return moved(
    results,
    results.flatMap((result) => ('value' in result ? largeBytesOf(result.value) : [])),
  );
}

function resultOf(job: BatchedJob): BatchedResult {
  try {
    return { value: runJob(job) };
  } catch (error) {
    return { error: (error as Error).stack ?? String(error) };
  }
}

function runJob({ kind, job }: BatchedJob): number | Assembled | Reading {
  switch (kind) {
    case 'measure':
      return measure(job, tokenizerOf(job.target.tokenizer));
    case 'assemble':
      return assemble(job, tokenizerOf(job.target.tokenizer));
    case 'read': {
      const reader = new StreamReader(job, tokenizerOf(job.tokenizer));
      reader.push(job.chunk);
      return reader.finish(job.ended);
    }
  }
}

/** The bytes of a result that are worth moving to the event loop instead of copying them. */
function largeBytesOf(value: number | Assembled | Reading): Uint8Array[] {
  const bytes = typeof value === 'number' ? undefined : 'body' in value ? value.body : outputOf(value);
  return bytes !== undefined && bytes.length > MOVED_BYTES ? [bytes] : [];
}

function outputOf(value: Assembled | Reading): Uint8Array | undefined {
  if (!('end' in value) || value.end.kind !== 'judged') return undefined;
  return value.end.verdict.kind === 'valid' ? value.end.verdict.output : undefined;
}

/** Tells Piscina which bytes of a result to transfer. */
function moved<T extends object>(result: T, bytes: readonly Uint8Array[]): T | Promise<T> {
  return bytes.length === 0 ? result : transferred(result, bytes);
}

async function transferred<T extends object>(result: T, bytes: readonly Uint8Array[]): Promise<T> {
  // Only now: every thread would take longer to start for what few results need.
  const { move, transferableSymbol, valueSymbol } = await import('piscina');
  return move({
    [transferableSymbol]: bytes.map(({ buffer }) => buffer),
    [valueSymbol]: result,
  } as never) as unknown as T;
}

const MOVED_BYTES = 16_384;

/** Reads a stream part by part, through the port, until it is over. */
export function read(job: ReadJob & { readonly port: MessagePort }): Reading | Promise<Reading> {
  const reader = new StreamReader(job, tokenizerOf(job.tokenizer));
  const { port } = job;
  if (reader.push(job.chunk)) return finish(reader, undefined);
  return new Promise((resolve, reject) => {
    const end = (ended: ReadMore['ended']) => {
      port.close();
      resolve(finish(reader, ended));
    };
    port.on('message', (more: ReadMore) => {
      try {
        if (reader.push(more.chunk) || more.ended !== undefined) end(more.ended);
        else port.postMessage(reader.progress());
      } catch (error) {
        port.close();
        reject(error);
      }
    });
    port.postMessage(reader.progress());
  });
}

function finish(reader: StreamReader, ended: StreamEnd | undefined): Reading | Promise<Reading> {
  const reading = reader.finish(ended);
  return moved(reading, largeBytesOf(reading));
}

/** Opens the tokenizers of this thread ahead of the first task. */
export function warm(): void {
  for (const name of Object.keys(vocabularies)) tokenizerOf(name as TokenizerName);
}

const { vocabularies } = workerData as ThreadData;
const tokenizers = new Map<TokenizerName, Tokenizer>();

function tokenizerOf(name: TokenizerName): Tokenizer {
  let tokenizer = tokenizers.get(name);
  if (tokenizer === undefined) {
    const vocabulary = vocabularies[name];
    if (vocabulary === undefined) throw new Error(`this thread has no vocabulary ${name}`);
    tokenizer = openTokenizer(name, vocabulary);
    tokenizers.set(name, tokenizer);
  }
  return tokenizer;
}
