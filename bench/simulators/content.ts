import type { GatewayKnobs, InvalidOutput } from './gateway-knobs.js';
import { outputs } from './outputs.js';
import type { GenerationRequest } from './requests.js';
import { exampleFor } from './schema-example.js';

/** What the model says, before it is cut into deltas. */
export interface Content {
  readonly text: string;
  /** Said in `delta.refusal`; in the other protocol, in the content. */
  readonly refusal: string | null;
  readonly finishReason: string;
}

/** Chooses, pads, spoils and cuts the text of one answer. Depends on its arguments only. */
export function contentFor(
  knobs: GatewayKnobs,
  request: GenerationRequest,
  invalid: InvalidOutput | null,
): Content {
  if (knobs.refusal !== null && (knobs.refusalKind === 'openai' || request.protocol === 'generate')) {
    return { text: '', refusal: knobs.refusal, finishReason: knobs.finishReason ?? 'stop' };
  }
  const whole = spoiled(padded(chosen(knobs, request), knobs.hugeDeltaBytes ?? knobs.outputBytes), invalid);
  const stopped = cutAtStop(whole, request.stop);
  const text = cutAtTokens(stopped, request.maxTokens);
  return {
    text,
    refusal: knobs.refusalKind === 'both' ? knobs.refusal : null,
    finishReason: knobs.finishReason ?? (text === stopped ? 'stop' : 'length'),
  };
}

/** Tokens as the simulator counts them: a quarter of the characters. */
export function tokensIn(characters: number): number {
  return Math.ceil(characters / 4);
}

/** Position at or before `index` that does not split a surrogate pair. */
export function characterBorder(text: string, index: number): number {
  const code = text.charCodeAt(index);
  return index > 0 && code >= 0xdc00 && code <= 0xdfff ? index - 1 : index;
}

function chosen(knobs: GatewayKnobs, request: GenerationRequest): string {
  if (knobs.refusal !== null) return knobs.refusal;
  const override = typeof knobs.output === 'string' ? knobs.output : knobs.output?.[request.domain];
  if (override !== undefined) return override;
  const output = outputs[request.domain];
  return JSON.stringify(request.schema === null ? output : exampleFor(request.schema, output));
}

const fillerLine = '# The quick brown fox jumps over the lazy dog, and the dog does not mind.\n';

function padded(text: string, bytes: number | null): string {
  const missing = (bytes ?? 0) - Buffer.byteLength(text);
  if (missing <= 0) return text;
  const json = parsed(text);
  if (!hasContent(json)) return text + filler(missing, fillerLine.length);
  // In JSON text the line break of the filler takes two bytes.
  return JSON.stringify({ ...json, content: json.content + filler(missing, fillerLine.length + 1) });
}

function filler(bytes: number, lineBytes: number): string {
  return fillerLine.repeat(Math.floor(bytes / lineBytes)) + 'x'.repeat(bytes % lineBytes);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function hasContent(json: unknown): json is { readonly content: string } {
  return typeof json === 'object' && json !== null && 'content' in json && typeof json.content === 'string';
}

function spoiled(text: string, invalid: InvalidOutput | null): string {
  switch (invalid) {
    case null:
      return text;
    case 'not_json':
      return 'I have thought about your task, and here is what I would do. First, I would look at the inputs.';
    case 'wrong_shape':
      return '{"answer": 42, "thoughts": ["this is JSON", "of another shape"]}';
    case 'trailing_comma':
      return text.replace(/\}\s*$/, ',}');
    case 'chatter_around':
      return `Sure! Here is the result you asked for:\n\n${text}\n\nLet me know if you need anything else.`;
    case 'fenced':
      return `\`\`\`json\n${text}\n\`\`\`\n`;
    case 'empty':
      return '';
    case 'truncated_json':
      return text.slice(0, characterBorder(text, Math.floor(text.length * 0.6)));
  }
}

function cutAtStop(text: string, stop: readonly string[]): string {
  const found = stop.map((sequence) => text.indexOf(sequence)).filter((index) => index >= 0);
  return found.length === 0 ? text : text.slice(0, Math.min(...found));
}

function cutAtTokens(text: string, maxTokens: number | null): string {
  if (maxTokens === null || tokensIn(text.length) <= maxTokens) return text;
  return text.slice(0, characterBorder(text, maxTokens * 4));
}
