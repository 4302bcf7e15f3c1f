import {
  type CallFacts,
  generated,
  openAiUsage,
  reasoningOf,
  thoughtsOf,
  toolCallOf,
  usageOf,
} from './answer-parts.js';
import type { Content } from './content.js';
import type { GatewayKnobs } from './gateway-knobs.js';
import type { GenerationRequest } from './requests.js';

/** The JSON text of a whole answer. */
export function wholeBody(
  knobs: GatewayKnobs,
  request: GenerationRequest,
  content: Content,
  facts: CallFacts,
): string {
  const usage = usageOf(knobs, request, content);
  const thoughts = thoughtsOf(knobs).join('');
  const inFields = knobs.reasoningIn === 'fields';
  const text = inFields ? content.text : thoughts + content.text;
  if (request.protocol === 'generate') {
    return JSON.stringify(generated(knobs, request, facts, usage, content.refusal ?? text, content));
  }
  const message = {
    role: 'assistant',
    content: content.refusal !== null && text === '' ? null : text,
    ...(content.refusal !== null && { refusal: content.refusal }),
    ...(inFields && thoughts !== '' && reasoningOf(thoughts)),
    ...(knobs.toolCallDeltas > 0 && { tool_calls: [toolCallOf(0)] }),
    ...(knobs.extraFields && { x_message: { nested: [1, null, 'text'] } }),
  };
  return JSON.stringify({
    id: `chatcmpl-${facts.id}`,
    object: 'chat.completion',
    created: Math.floor(Date.now() / 1000),
    model: request.model,
    choices: [{ index: 0, message, finish_reason: knobs.omitFinishReason ? null : content.finishReason }],
    ...(!knobs.omitUsage && { usage: openAiUsage(knobs, usage) }),
    ...(knobs.extraFields && { system_fingerprint: 'fp_0', x_simulator: { nested: [1, null] } }),
  });
}
