import {
  type Checks,
  flag,
  integer,
  type KnobsInput,
  listOf,
  maxBytes,
  maxDelayMs,
  mergeKnobs,
  number,
  oneOf,
  plainKnobs,
  text,
} from './knob-checks.js';

/** How the retriever behaves; set in the same ways as the knobs of the gateway. */
export interface RagKnobs {
  /** Milliseconds before the answer. @default 0 */
  readonly delayMs: number;
  /** HTTP status of an error answer, 400 to 599. @default null */
  readonly status: number | null;
  /** Never answers. @default false */
  readonly hang: boolean;
  /** Cuts the answer in the middle of its body. @default null */
  readonly cut: 'rst' | 'fin' | null;
  /** A 200 answer whose body is not JSON, or JSON of another shape. @default null */
  readonly malformed: 'not_json' | 'wrong_shape' | null;
  /** Pads the context to this many bytes, whatever `max_tokens` says. @default null */
  readonly hugeBytes: number | null;
  /** The context to answer with, in place of a search. @default null */
  readonly context: string | null;
  /** Knobs for the next calls, one entry a call; then none. @default [] */
  readonly script: readonly RagKnobsInput[];
}

export type RagKnobsInput = KnobsInput<Omit<RagKnobs, 'script'>> & {
  readonly script?: readonly RagKnobsInput[] | null;
};

export const ragDefaults: RagKnobs = {
  delayMs: 0,
  status: null,
  hang: false,
  cut: null,
  malformed: null,
  hugeBytes: null,
  context: null,
  script: [],
};

/**
 * Lays `input` over `base`.
 * @throws {KnobError} when a knob is unknown or its value is not allowed; `base` is then unchanged.
 */
export function mergeRagKnobs(base: RagKnobs, input: unknown): RagKnobs {
  return mergeKnobs(base, ragDefaults, ragChecks, input, '');
}

const nestedRagKnobs = plainKnobs(ragDefaults, () => ragChecks, ['script']);

const ragChecks: Checks<RagKnobs> = {
  delayMs: number(0, maxDelayMs),
  status: integer(400, 599),
  hang: flag,
  cut: oneOf('rst', 'fin'),
  malformed: oneOf('not_json', 'wrong_shape'),
  hugeBytes: integer(0, maxBytes),
  context: text,
  script: listOf(nestedRagKnobs),
};
