import Type from '../../contracts/typebox.js';
import { ModelName, modelNameExpectation } from './names.js';

/** Share of a model's context window that its output may take when `max_output_tokens` is not set. */
export const outputShare = 0.3;

/** What is assumed of a model by its name; the first match counts. Windows in tokens. */
export const modelFamilies = [
  { prefix: 'gemma3', contextWindow: 32_768, tokenizer: 'gemma3' },
  { part: 'gpt-oss', contextWindow: 32_768, tokenizer: 'o200k_harmony' },
  { prefix: 'qwen3', contextWindow: 65_536, tokenizer: 'qwen3' },
  { part: 'claude', contextWindow: 200_000, tokenizer: 'claude' },
  { part: '', contextWindow: 32_768, tokenizer: 'o200k_harmony' },
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
        'Most output of one call, in tokens, less than the window. Default: 30% of `context_window`, rounded down.',
    }),
    tokenizer: Type.Enum(['o200k_harmony', 'gemma3', 'qwen3', 'claude'], {
      description: 'Vocabulary that tokens are counted with. Default: by family, see the table.',
    }),
  },
  { additionalProperties: false },
);

export const Models = Type.Record(ModelName, Model, {
  additionalProperties: false,
  names: modelNameExpectation,
  description: 'What is known of the models, by name. A model without an entry has the defaults.',
});
