import { excerpt } from '../../contracts/excerpt.js';
import { NAME_CHARACTERS } from './fields.js';
import type { StreamError } from './wire.js';

/** The reason in OpenAI's words; gateways hand on those of other providers. */
export function finishReasonOf(value: unknown): string | undefined {
  if (typeof value !== 'string' || value === '' || NO_REASON.test(value)) return undefined;
  return otherFinishReasons.get(value.toLowerCase()) ?? excerpt(value, NAME_CHARACTERS);
}

// DashScope writes null so.
const NO_REASON = /^(?:null|none)$/i;

const otherFinishReasons = new Map([
  ['max_tokens', 'length'],
  ['max_output_tokens', 'length'],
  ['model_length', 'length'],
  ['max_new_tokens', 'length'],
  ['model_context_window_exceeded', 'length'],
  ['end_turn', 'stop'],
  ['eos', 'stop'],
  ['eos_token', 'stop'],
  ['complete', 'stop'],
  ['completed', 'stop'],
  ['stop_sequence', 'stop'],
  ['refusal', 'content_filter'],
  ['safety', 'content_filter'],
  ['recitation', 'content_filter'],
  ['blocklist', 'content_filter'],
  ['prohibited_content', 'content_filter'],
  ['sensitive', 'content_filter'],
  ['spii', 'content_filter'],
  ['content_filtered', 'content_filter'],
  ['guardrail_intervened', 'content_filter'],
]);

/** Some servers say by the finish reason alone that they could not go on: what they have sent is a part. */
export function brokenOff(finishReason: unknown): StreamError | undefined {
  if (typeof finishReason !== 'string' || !brokenReasons.has(finishReason.toLowerCase())) return undefined;
  return { detail: `it ended with the finish reason ${finishReason}`, retryable: true };
}

// OpenRouter, Mistral; vLLM, SGLang; DeepSeek; Zhipu.
const brokenReasons = new Set([
  'error',
  'abort',
  'aborted',
  'cancelled',
  'insufficient_system_resource',
  'network_error',
]);
