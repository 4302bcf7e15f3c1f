import { type Content, characterBorder, tokensIn } from './content.js';
import type { CutKind, GatewayKnobs } from './gateway-knobs.js';
import type { GenerationRequest } from './requests.js';

/** A piece of an answer's body that is written at one moment. */
export interface Step {
  readonly text: string;
  /** What it costs the model's time. */
  readonly tokens: number;
  /** Whether it counts for the knobs that say "after this many content deltas". */
  readonly isDelta: boolean;
}

/** How the body ends once its steps are written. */
export type Ending = 'complete' | 'error' | 'stall' | CutKind;

export interface Plan {
  readonly steps: readonly Step[];
  readonly ending: Ending;
  /** Content deltas among the steps. */
  readonly deltas: number;
  /** Whether the answer goes on to its proper end: in a stream, finish_reason, usage and [DONE]. */
  readonly closes: boolean;
}

/** Facts of one call that are not known when its plan is made. */
export interface CallFacts {
  readonly id: string;
  readonly latencyMs: number;
}

/** Stands in a plan for the 16 characters by which the ids of calls differ. */
export const idSlot = 'ID~SLOT~ID~SLOT~';

/** The events of a streamed answer up to its closing, already broken off where the knobs say so. */
export function streamPlan(knobs: GatewayKnobs, request: GenerationRequest, content: Content): Plan {
  const events = eventsOf(knobs, request, idSlot);
  const opening: Step[] = [];
  for (const text of thoughtsOf(knobs)) {
    const said = knobs.reasoningIn === 'fields' ? events.reasoning(text) : events.content(text, 1);
    opening.push({ text: said, tokens: 1, isDelta: false });
  }
  for (let index = 0; index < knobs.toolCallDeltas; index++) {
    opening.push({ text: events.toolCall(index), tokens: 1, isDelta: false });
  }
  const deltas: Step[] = [];
  for (const [index, text] of deltasOf(content.text, knobs).entries()) {
    deltas.push({ text: events.content(text, index), tokens: text.length / 4, isDelta: true });
    for (let empty = 0; empty < knobs.emptyDeltas; empty++) {
      deltas.push({ text: events.empty(empty), tokens: 0, isDelta: false });
    }
  }
  if (content.refusal !== null) {
    for (const text of deltasOf(content.refusal, knobs)) {
      deltas.push({ text: events.refusal(text), tokens: text.length / 4, isDelta: true });
    }
  }
  return brokenOff(knobs, [...opening, ...deltas], events.error() + (knobs.omitDone ? '' : events.done()));
}

/** The last events of a streamed answer. */
export function closingSteps(
  knobs: GatewayKnobs,
  request: GenerationRequest,
  content: Content,
  facts: CallFacts,
): Step[] {
  const events = eventsOf(knobs, request, facts.id);
  const texts = events.closing(usageOf(knobs, request, content), content.finishReason, facts.latencyMs);
  if (!knobs.omitDone) texts.push(events.done());
  return texts.map((text) => ({ text, tokens: 0, isDelta: false }));
}

/** A whole answer's body, in as many pieces as a stream would have deltas, broken off in the same places. */
export function wholePlan(knobs: GatewayKnobs, body: string, content: Content): Plan {
  if (knobs.errorInStreamAfterChunks !== null) {
    const text = knobs.errorInStream ?? JSON.stringify(inStreamError);
    const error = { text, tokens: 0, isDelta: false };
    return { steps: [error], ending: 'error', deltas: 0, closes: false };
  }
  const count = Math.max(1, deltasOf(content.text, knobs).length);
  const steps = split(body, count).map((text) => ({ text, tokens: 0, isDelta: true }));
  return brokenOff(knobs, steps, '');
}

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

/** Cuts a text into deltas as the knobs say, never inside a character. */
export function deltasOf(text: string, knobs: GatewayKnobs): string[] {
  if (knobs.hugeDeltaBytes !== null) return [text];
  if (knobs.chunks !== null) return split(text, knobs.chunks);
  return split(text, Math.ceil(text.length / Math.max(1, Math.round(knobs.chunkTokens * 4))));
}

interface Usage {
  readonly input: number;
  readonly output: number;
}

function usageOf(knobs: GatewayKnobs, request: GenerationRequest, content: Content): Usage {
  const said = tokensIn(content.text.length) + tokensIn(content.refusal?.length ?? 0) + knobs.reasoningTokens;
  return { input: tokensIn(request.promptCharacters), output: Math.round(said * knobs.usageSkew) };
}

function openAiUsage(knobs: GatewayKnobs, { input, output }: Usage) {
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

interface Events {
  content(text: string, index: number): string;
  reasoning(text: string): string;
  refusal(text: string): string;
  toolCall(index: number): string;
  empty(index: number): string;
  error(): string;
  closing(usage: Usage, finishReason: string, latencyMs: number): string[];
  done(): string;
}

function eventsOf(knobs: GatewayKnobs, request: GenerationRequest, id: string): Events {
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

function generated(
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

/** Fixed, so that a plan can be used again. */
const created = 1_735_689_600;

const inStreamError = {
  error: { message: 'The simulated model failed while it was answering.', type: 'server_error', code: 500 },
};

/** Servers differ in the name of the field; some send both. */
function reasoningOf(text: string) {
  return { reasoning_content: text, reasoning: text };
}

function toolCallOf(index: number) {
  return {
    index,
    id: `call_${index}`,
    type: 'function',
    function: { name: 'read_file', arguments: '{"path": "README.md"}' },
  };
}

function brokenOff(knobs: GatewayKnobs, steps: readonly Step[], error: string): Plan {
  const after = (count: number | null) => (count === null ? -1 : positionAfter(steps, count));
  const found = [
    { at: after(knobs.cutAfterChunks), ending: knobs.cutKind, text: '' },
    { at: after(knobs.errorInStreamAfterChunks), ending: 'error' as const, text: error },
    { at: after(knobs.stallAfterChunks), ending: 'stall' as const, text: '' },
  ].filter(({ at }) => at >= 0);
  const deltasIn = (kept: readonly Step[]) => kept.filter(({ isDelta }) => isDelta).length;
  if (found.length === 0) return { steps, ending: 'complete', deltas: deltasIn(steps), closes: true };
  const { at, ending, text } = found.reduce((one, other) => (other.at < one.at ? other : one));
  const kept = steps.slice(0, at);
  if (text !== '') kept.push({ text, tokens: 0, isDelta: false });
  return { steps: kept, ending, deltas: deltasIn(kept), closes: false };
}

/** Index of the step after the first `count` deltas, or -1 when there are fewer. */
function positionAfter(steps: readonly Step[], count: number): number {
  let seen = 0;
  for (const [index, step] of steps.entries()) {
    if (seen === count && (seen > 0 || step.isDelta)) return index;
    if (step.isDelta) seen++;
  }
  return seen === count ? steps.length : -1;
}

function split(text: string, count: number): string[] {
  const parts: string[] = [];
  let start = 0;
  for (let index = 1; index <= count; index++) {
    const end =
      index === count ? text.length : characterBorder(text, Math.round((text.length * index) / count));
    parts.push(text.slice(start, end));
    start = end;
  }
  return parts;
}

/** The reasoning before an answer, with the tags that it has. */
function thoughtsOf({ reasoningTokens, reasoningIn }: GatewayKnobs): string[] {
  const words = 'Let me think about it. '.split(/(?<= )/);
  const said = Array.from({ length: reasoningTokens }, (_, index) => words[index % words.length]!);
  if (reasoningIn === 'fields' || reasoningTokens === 0) return said;
  return [...(reasoningIn === 'think' ? ['<think>\n'] : []), ...said, '\n</think>\n\n'];
}
