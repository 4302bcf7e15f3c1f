import { AnswerScanner } from './answer-scanner.js';
import { CHATTER, findFences } from './free-text.js';

/** The JSON object that was asked for, in an answer that begins otherwise. */
export interface EmbeddedObject {
  /** Has read from the object on. */
  readonly scanner: AnswerScanner;
  /** Whether it cannot be but the answer, so that what is wrong with it is wrong with the answer. */
  readonly isMeant: boolean;
}

/**
 * Finds the object where it is an answer as a whole: as the first fenced block of code, with little around it, or as the
 * greater part of the text. A text may have such an object in it as an example.
 */
export function findEmbeddedObject(text: string, kind: 'code' | 'prose'): EmbeddedObject | undefined {
  const found = OPENING.exec(text);
  if (found === null) return undefined;
  const from = found.index + found[0].length - found[1]!.length;
  const scanner = new AnswerScanner(() => [], false);
  scanner.push(text.slice(from));
  const fences = findFences(text);
  const fence = fences.find(({ start, end }) => start < from && from < end);
  // Where a quote is not escaped, the object has no end, and a fence in its text looks like one of the answer.
  const ownEnd = fence === undefined ? text.length : fences.at(-1)!.end;
  const end = scanner.end >= 0 ? from + scanner.end : ownEnd;
  const around = text.length - (end - from);
  const isAnswer =
    (kind === 'code' && fence !== undefined && fence === fences[0]) ||
    (from <= CHATTER_CHARACTERS && text.length - end <= CHATTER_CHARACTERS) ||
    end - from >= around;
  if (!isAnswer) return undefined;
  const isEnvelope = ENVELOPES.some((envelope) => envelope.test(scanner.text));
  const isMeant = isEnvelope && (kind === 'code' || isLead(text.slice(0, fence?.start ?? from)));
  return { scanner, isMeant };
}

/** At the beginning of a line, or on the first one behind what introduces it. */
const OPENING = new RegExp(
  `(?:^${CHATTER}[^\\n{]{0,240}:|^|\\n)[ \\t]*(?:\`\`\`(?:json)?[ \\t]*\\r?\\n\\s*)?(\\{\\s*"(?:status|content)"\\s*:)`,
  'i',
);

// The fields of the three kinds of answers; another object that has a status is some data of the task.
const ENVELOPES = [
  /^\{\s*"content"/i,
  /^\{\s*"status"\s*:\s*"completed?"[\s\S]*"(?:content|artifacts)"\s*:/i,
  /^\{\s*"status"\s*:\s*"(?:refus(?:ed|al)|needs[_ -]clarification)"[\s\S]*"(?:reason|message|questions)"\s*:/i,
];

/** A paragraph that says what comes, and no part of a document. */
function isLead(before: string): boolean {
  const said = before.trim();
  return said.length <= CHATTER_CHARACTERS && !/\n[ \t]*\r?\n|^#/m.test(said);
}

const CHATTER_CHARACTERS = 1000;
