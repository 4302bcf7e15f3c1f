import { type MessagePort, workerData } from 'node:worker_threads';
import { parseTask } from '../contracts/parse-task.js';
import type {
  Assembled,
  BatchedJob,
  BatchedResult,
  ParsedTask,
  ParseTaskJob,
  Reading,
  ReadJob,
  ReadMore,
  TokenizerName,
} from '../contracts/threads.js';
import { assemble, measure } from './assemble.js';
import { StreamReader } from './stream-reader.js';
import { openTokenizer, type Tokenizer } from './tokenizers/index.js';

/** What a thread is born with. */
export interface ThreadData {
  readonly vocabularies: Readonly<Partial<Record<TokenizerName, SharedArrayBuffer>>>;
}

export function parse(job: ParseTaskJob): ParsedTask {
  return parseTask(job.body);
}

/** Runs jobs one after the other; none of them waits for anything. */
export function batch(jobs: readonly BatchedJob[]): BatchedResult[] {
  return jobs.map((each) => {
    try {
      return { value: runJob(each) };
    } catch (error) {
      return { error: (error as Error).stack ?? String(error) };
    }
  });
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

/** Reads a stream part by part, through the port, until it is over. */
export function read(job: ReadJob & { readonly port: MessagePort }): Reading | Promise<Reading> {
  const reader = new StreamReader(job, tokenizerOf(job.tokenizer));
  const { port } = job;
  if (reader.push(job.chunk)) return reader.finish(undefined);
  return new Promise((resolve, reject) => {
    const end = (ended: ReadMore['ended']) => {
      port.close();
      resolve(reader.finish(ended));
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
