import { type CallFacts, inStreamError, thoughtsOf, usageOf } from './answer-parts.js';
import { type Content, characterBorder } from './content.js';
import type { CutKind, GatewayKnobs } from './gateway-knobs.js';
import type { GenerationRequest } from './requests.js';
import { eventsOf } from './stream-events.js';

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

/** Cuts a text into deltas as the knobs say, never inside a character. */
function deltasOf(text: string, knobs: GatewayKnobs): string[] {
  if (knobs.hugeDeltaBytes !== null) return [text];
  if (knobs.chunks !== null) return split(text, knobs.chunks);
  return split(text, Math.ceil(text.length / Math.max(1, Math.round(knobs.chunkTokens * 4))));
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
