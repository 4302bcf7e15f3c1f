import { AddedTokenFinder } from './added-tokens.js';
import { type Normalizer, normalizerOf } from './normalizers.js';
import { PieceEncoder } from './pieces.js';
import { type PieceEnd, pieceEndOf } from './pre-tokenizers.js';
import type { Vocabulary } from './vocabulary.js';

/** The stages of one vocabulary, in the order in which text goes through them. */
export interface Engine {
  readonly addedTokens: AddedTokenFinder;
  readonly normalizer: Normalizer;
  readonly pieceEnd: PieceEnd;
  readonly pieces: PieceEncoder;
}

/** The cache of an engine is not shared: one engine a thread and vocabulary. */
export function openEngine(vocabulary: Vocabulary): Engine {
  return {
    addedTokens: new AddedTokenFinder(vocabulary.addedTokens),
    normalizer: normalizerOf(vocabulary),
    pieceEnd: pieceEndOf(vocabulary),
    pieces: new PieceEncoder(vocabulary),
  };
}
