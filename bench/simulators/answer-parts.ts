import { type Content, tokensIn } from './content.js';
import type { GatewayKnobs } from './gateway-knobs.js';
import type { GenerationRequest } from './requests.js';

/** Facts of one call that are not known when its plan is made. */
export interface CallFacts {
  readonly id: string;
  readonly latencyMs: number;
}

/** In tokens. */
export interface Usage {
  readonly input: number;
  readonly output: number;
}

/** The tokens that an answer reports. */
export function usageOf(knobs: GatewayKnobs, request: GenerationRequest, content: Content): Usage {
  const said = tokensIn(content.text.length) + tokensIn(content.refusal?.length ?? 0) + knobs.reasoningTokens;
  return { input: tokensIn(request.promptCharacters), output: Math.round(said * knobs.usageSkew) };
}

/** Usage as chat completions have it. */
export function openAiUsage(knobs: GatewayKnobs, { input, output }: Usage) {
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    ...(knobs.reasoningTokens > 0 && {
      completion_tokens_details: { reasoning_tokens: knobs.reasoningTokens },
    }),
    ...(knobs.extraFields && { x_usage: { cost: 0.5 } }),
  };
}

/** The object with which an answer of `generate` ends, or which it is. */
export function generated(
  knobs: GatewayKnobs,
  request: GenerationRequest,
  { id, latencyMs }: CallFacts,
  usage: Usage,
  content: string,
  { finishReason }: Pick<Content, 'finishReason'>,
) {
  return {
    id: `gen-${id}`,
    model: request.model,
    provider: providerOf(request.model),
    content,
    ...(!knobs.omitUsage && { tokens_input: usage.input, tokens_output: usage.output }),
    latency_ms: Math.round(latencyMs),
    ...(!knobs.omitFinishReason && { finish_reason: finishReason }),
    ...(knobs.extraFields && { x_simulator: { nested: [1, null] } }),
  };
}

function providerOf(model: string): string {
  if (model.startsWith('claude')) return 'anthropic';
  return model.includes('/') ? 'vllm' : 'ollama';
}

/** The reasoning before an answer, with the tags that it has. */
export function thoughtsOf({ reasoningTokens, reasoningIn }: GatewayKnobs): string[] {
  const words = 'Let me think about it. '.split(/(?<= )/);
  const said = Array.from({ length: reasoningTokens }, (_, index) => words[index % words.length]!);
  if (reasoningIn === 'fields' || reasoningTokens === 0) return said;
  return [...(reasoningIn === 'think' ? ['<think>\n'] : []), ...said, '\n</think>\n\n'];
}

/** Servers differ in the name of the field; some send both. */
export function reasoningOf(text: string) {
  return { reasoning_content: text, reasoning: text };
}

/** A call of a tool that nobody has offered. */
export function toolCallOf(index: number) {
  return {
    index,
    id: `call_${index}`,
    type: 'function',
    function: { name: 'read_file', arguments: '{"path": "README.md"}' },
  };
}

/** What a stream says that fails after its headers have said 200. */
export const inStreamError = {
  error: { message: 'The simulated model failed while it was answering.', type: 'server_error', code: 500 },
};
