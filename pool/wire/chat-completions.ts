import { excerpt } from '../../contracts/excerpt.js';
import { asObject } from '../../contracts/objects.js';
import { errorIn, errorOfChoice } from './errors.js';
import { NAME_CHARACTERS, textOf, thoughtsIn, tokenCount } from './fields.js';
import { brokenOff, finishReasonOf } from './finish-reasons.js';
import type { Delta, Message, Read } from './wire.js';

/** A stream may end in a message with the whole answer; its content is then what the deltas have brought. */
export function chatReader(hasBegun: boolean): Read {
  let streamed = hasBegun;
  return (message) => {
    const choices = Array.isArray(message.choices) ? message.choices : [];
    const choice = asObject(choices.find((c) => Number(asObject(c)?.index ?? 0) === 0));
    const error = errorIn(message) ?? errorOfChoice(choice?.error) ?? brokenOff(choice?.finish_reason);
    if (error !== undefined) return { error };
    const delta: Delta = {};
    const part = asObject(choice?.delta);
    if (part !== undefined) {
      readMessage(part, delta);
      streamed ||= delta.content !== undefined;
    }
    const whole = asObject(choice?.message);
    if (whole !== undefined && part?.content === undefined && !streamed) readMessage(whole, delta);
    const finishReason = finishReasonOf(choice?.finish_reason);
    if (finishReason !== undefined) delta.finishReason = finishReason;
    if (typeof message.model === 'string') delta.model = excerpt(message.model, NAME_CHARACTERS);
    // Moonshot says it in the choice, Groq in a field of its own.
    const usage =
      asObject(message.usage) ?? asObject(choice?.usage) ?? asObject(asObject(message.x_groq)?.usage);
    const prompt = tokenCount(usage?.prompt_tokens ?? usage?.input_tokens);
    const completion = tokenCount(usage?.completion_tokens ?? usage?.output_tokens);
    if (prompt !== undefined && completion !== undefined) delta.usage = { prompt, completion };
    return delta;
  };
}

function readMessage(part: Message, delta: Delta): void {
  const content = textOf(part.content);
  if (content !== '') delta.content = content;
  const reasoning =
    textOf(part.reasoning_content) ||
    textOf(part.reasoning) ||
    textOf(part.thinking) ||
    thoughtsIn(part.content);
  if (reasoning !== '') delta.reasoning = reasoning;
  if (typeof part.refusal === 'string' && part.refusal !== '') delta.refusal = part.refusal;
}
