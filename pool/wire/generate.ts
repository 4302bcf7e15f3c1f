import { excerpt } from '../../contracts/excerpt.js';
import { errorIn } from './errors.js';
import { NAME_CHARACTERS, textOf, tokenCount } from './fields.js';
import { brokenOff, finishReasonOf } from './finish-reasons.js';
import type { Delta, Read } from './wire.js';

/** A stream may end in the object of a whole answer; its content is then what the deltas have brought. */
export function generateReader(hasBegun: boolean): Read {
  let streamed = hasBegun;
  return (message) => {
    const piece = textOf(message.delta);
    streamed ||= piece !== '';
    return readGenerate(message, piece || (streamed ? '' : textOf(message.content)));
  };
}

function readGenerate(message: Record<string, unknown>, content: string): Delta {
  const delta: Delta = {};
  const error = errorIn(message) ?? brokenOff(message.finish_reason);
  if (error !== undefined) return { error };
  if (content !== '') delta.content = content;
  const reasoning = textOf(message.reasoning_content) || textOf(message.reasoning);
  if (reasoning !== '') delta.reasoning = reasoning;
  const finishReason = finishReasonOf(message.finish_reason);
  if (finishReason !== undefined) delta.finishReason = finishReason;
  if (typeof message.model === 'string') delta.model = excerpt(message.model, NAME_CHARACTERS);
  const prompt = tokenCount(message.tokens_input);
  const completion = tokenCount(message.tokens_output);
  if (prompt !== undefined && completion !== undefined) delta.usage = { prompt, completion };
  return delta;
}
