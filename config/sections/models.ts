import Type from '../../contracts/typebox.js';
import { ModelName, modelNameExpectation } from './names.js';

/** Share of a model's context window that its output may take when `max_output_tokens` is not set. */
export const outputShare = 0.3;

/**
 * What is assumed of a model by its name, in lower case; the first match counts. Windows in tokens. The vocabulary is
 * `exact` where it is the model's own: a later version of a family has another one.
 */
export const modelFamilies = [
  {
    names: /^gemma-?3(?![.\d])/,
    told: '`gemma3*`, `gemma-3*`',
    window: 32_768,
    tokenizer: 'gemma3',
    exact: true,
  },
  { names: /gpt-oss/, told: '`*gpt-oss*`', window: 32_768, tokenizer: 'o200k_harmony', exact: true },
  {
    names: /^qwen-?3\.\d/,
    told: '`qwen3.5*` and the like',
    window: 65_536,
    tokenizer: 'qwen3',
    exact: false,
  },
  { names: /^qwen-?3(?!\d)/, told: '`qwen3*`, `qwen-3*`', window: 65_536, tokenizer: 'qwen3', exact: true },
  { names: /claude/, told: '`*claude*`', window: 200_000, tokenizer: 'claude', exact: false },
  { names: /^/, told: 'any other', window: 32_768, tokenizer: 'o200k_harmony', exact: false },
] as const;

const Model = Type.Object(
  {
    context_window: Type.Integer({
      minimum: 256,
      maximum: 100_000_000,
      description: 'Prompt and output together, in tokens. Default: by family, see the table.',
    }),
    max_output_tokens: Type.Integer({
      minimum: 1,
      maximum: 100_000_000,
      description:
        'Most output of one call, in tokens, less than the window. An answer that this cut off is asked for once more with up to twice as much, as far as 60% of `context_window` and never beyond the `max_output_tokens` of the task itself. Default: 30% of `context_window`, rounded down.',
    }),
    tokenizer: Type.Enum(['o200k_harmony', 'gemma3', 'qwen3', 'claude'], {
      description: 'Vocabulary that tokens are counted with. Default: by family, see the table.',
    }),
    exact_counts: Type.Boolean({
      description:
        'Whether that vocabulary is the model’s own; else counts are told as `approximate`, and an output is cut off at one and a half times its limit. Default: by family, see the table; `true` where `tokenizer` is set, but for `claude`, which is the one of earlier models.',
    }),
  },
  { additionalProperties: false },
);

export const Models = Type.Record(ModelName, Model, {
  additionalProperties: false,
  names: modelNameExpectation,
  description: 'What is known of the models, by name. A model without an entry has the defaults.',
});
