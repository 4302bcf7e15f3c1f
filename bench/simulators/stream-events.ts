import {
  generated,
  inStreamError,
  openAiUsage,
  reasoningOf,
  toolCallOf,
  type Usage,
} from './answer-parts.js';
import type { GatewayKnobs } from './gateway-knobs.js';
import type { GenerationRequest } from './requests.js';

/** The events of a streamed answer, as the bytes of its body have them. */
export interface Events {
  content(text: string, index: number): string;
  reasoning(text: string): string;
  refusal(text: string): string;
  toolCall(index: number): string;
  empty(index: number): string;
  error(): string;
  closing(usage: Usage, finishReason: string, latencyMs: number): string[];
  done(): string;
}

/** The events in the protocol of the request. */
export function eventsOf(knobs: GatewayKnobs, request: GenerationRequest, id: string): Events {
  const end = knobs.crlf ? '\r\n' : '\n';
  const comment = knobs.comments ? `: keep-alive${end}${end}` : '';
  const line = (data: string) => `${comment}data: ${data}${end}${end}`;
  const event = (data: object) => line(JSON.stringify(data));
  return {
    error: () => line(knobs.errorInStream ?? JSON.stringify(inStreamError)),
    done: () => line('[DONE]'),
    ...(request.protocol === 'chat_completions'
      ? chatEvents(knobs, request, id, event)
      : generateEvents(knobs, request, id, event)),
  };
}

type ProtocolEvents = Omit<Events, 'error' | 'done'>;

function chatEvents(
  knobs: GatewayKnobs,
  request: GenerationRequest,
  id: string,
  event: (data: object) => string,
): ProtocolEvents {
  const extra = knobs.extraFields;
  const chunk = (choices: readonly object[], more: object = {}) =>
    event({
      id: `chatcmpl-${id}`,
      object: 'chat.completion.chunk',
      created,
      model: request.model,
      choices,
      ...more,
      ...(extra && { system_fingerprint: 'fp_0', x_simulator: { nested: [1, null] } }),
    });
  const delta = (fields: object, finishReason: string | null = null) =>
    chunk([
      {
        index: 0,
        delta: extra ? { ...fields, x_delta: ['unknown'] } : fields,
        finish_reason: finishReason,
        ...(extra && { logprobs: null, x_choice: true }),
      },
    ]);
  return {
    content: (text, index) => delta(index === 0 ? { role: 'assistant', content: text } : { content: text }),
    reasoning: (text) => delta(reasoningOf(text)),
    refusal: (text) => delta({ refusal: text }),
    toolCall: (index) => delta({ tool_calls: [toolCallOf(index)] }),
    empty: (index) => delta([{}, { content: '' }, { content: null }][index % 3]!),
    closing: (usage, finishReason) => [
      ...(knobs.omitFinishReason ? [] : [delta({}, finishReason)]),
      ...(request.includeUsage && !knobs.omitUsage ? [chunk([], { usage: openAiUsage(knobs, usage) })] : []),
    ],
  };
}

function generateEvents(
  knobs: GatewayKnobs,
  request: GenerationRequest,
  id: string,
  event: (data: object) => string,
): ProtocolEvents {
  const delta = (fields: object) => event(knobs.extraFields ? { ...fields, x_delta: ['unknown'] } : fields);
  return {
    content: (text) => delta({ delta: text }),
    reasoning: (text) => delta(reasoningOf(text)),
    refusal: (text) => delta({ delta: text }),
    toolCall: (index) => delta({ tool_calls: [toolCallOf(index)] }),
    empty: (index) => delta([{}, { delta: '' }, { delta: null }][index % 3]!),
    closing: (usage, finishReason, latencyMs) => [
      event(generated(knobs, request, { id, latencyMs }, usage, '', { finishReason })),
    ],
  };
}

/** Fixed, so that a plan can be used again. */
const created = 1_735_689_600;
