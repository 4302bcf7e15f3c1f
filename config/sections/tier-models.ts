import Type from '../../contracts/typebox.js';
import { modelNameExpectation, modelNamePattern, Name, nameExpectation, namePattern } from './names.js';

/** The tiers of a file that has none. */
export const defaultTierModels = {
  tiny: { model: 'gemma3:4b', endpoint: 'ollama_gpu_general' },
  small: { model: 'gemma3:12b', endpoint: 'ollama_gpu_general' },
  large: { model: 'openai/gpt-oss-20b', endpoint: 'vllm_gpu' },
  coding: { model: 'qwen3-coder:30b-a3b-q8_0-64k', endpoint: 'ollama_cpu_large' },
  frontier: { model: 'claude-sonnet-4-20250514', endpoint: 'anthropic' },
};

const TierModel = Type.Object(
  {
    model: Type.String({
      pattern: modelNamePattern,
      expected: modelNameExpectation,
      description: 'Name of the model, as the gateway knows it.',
    }),
    endpoint: Type.String({
      pattern: namePattern,
      expected: nameExpectation,
      description: 'Name of the endpoint that serves it; sent as `X-Model-Endpoint`.',
    }),
    escalate_to: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'Tier that takes over when the model says that it needs a larger one. Default: none.',
      }),
    ),
    fallback: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      maxItems: 16,
      description: 'Tiers to try in this order when the endpoint cannot be had.',
    }),
  },
  { additionalProperties: false },
);

export const TierModels = Type.Record(Name, TierModel, {
  additionalProperties: false,
  names: nameExpectation,
  default: defaultTierModels,
  description:
    'The tiers. When the section is given, it is the whole list: a default tier that it leaves out does not exist.',
});
