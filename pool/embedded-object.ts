import { AnswerScanner } from './answer-scanner.js';
import { CHATTER, findFences } from './free-text.js';

/** The JSON object that was asked for, in an answer that begins otherwise. */
export interface EmbeddedObject {
  /** Has read from the object on. */
  readonly scanner: AnswerScanner;
  /** Whether it says of itself what kind of answer it is: then no field of it is some data of the task. */
  readonly hasStatus: boolean;
  /** Whether it cannot be but the answer, so that what is wrong with it is wrong with the answer. */
  readonly isMeant: boolean;
}

/**
 * Finds the object where it is an answer as a whole: the greater part of the text, or behind a few words that introduce
 * it. An example in a document or in a program, or data that the task is about, may look alike.
 */
export function findEmbeddedObject(text: string, kind: 'code' | 'prose'): EmbeddedObject | undefined {
  const fences = findFences(text);
  const found = openingOutside(fences, text);
  if (found === undefined) return undefined;
  const from = found.index + found[0].length - found[1]!.length;
  const isFenced = found[0].includes('```');
  const scanner = new AnswerScanner(() => [], false);
  scanner.push(text.slice(from));
  if (scanner.mode !== 'json') return undefined;
  const rest = text.slice(from + (scanner.end >= 0 ? scanner.end : lengthOf(scanner.text, isFenced)));
  if (scanner.end >= 0 && !(isFenced ? FENCE_END : LINE_END).test(rest)) return undefined;
  const before = text.slice(0, found.index);
  const after = isFenced ? rest.replace(FENCE_END, '') : rest;
  const status = STATUS.exec(scanner.text)?.[1];
  const hasStatus = status !== undefined;
  const isLed = isLead(before);
  const isGreater = from + rest.length <= text.length / 2;
  const isNear = isLed && after.length <= CHATTER_CHARACTERS;
  const isAlone = findFences(before).length === 0 && findFences(after).length === 0;
  const isAnswer = kind === 'code' ? isAlone && (isFenced || isNear) : hasStatus && isNear;
  if (!isAnswer && !isGreater) return undefined;
  const isMeant = isEnvelope(scanner.text, status) && (kind === 'code' || isLed);
  return { scanner, hasStatus, isMeant };
}

/** The first one that is not inside of a program in a fence. */
function openingOutside(fences: ReturnType<typeof findFences>, text: string): RegExpExecArray | undefined {
  let left = MOST_OPENINGS;
  for (const found of text.matchAll(OPENING)) {
    const to = found.index + found[0].length;
    if (!fences.some(({ start, end }) => start < found.index && to < end)) return found;
    if (--left === 0) return undefined;
  }
  return undefined;
}

// For each, all fences are looked at.
const MOST_OPENINGS = 16;

/** At the beginning of a line, or on the first one behind what introduces it. */
const OPENING = new RegExp(
  `(?:^${CHATTER}[^\\n{]{0,240}:|^|\\n)[ \\t]*(?:\`\`\`(?:json)?[ \\t]*\\r?\\n\\s*)?(\\{\\s*"(?:status|content)"\\s*:)`,
  'gi',
);

/** Of an object that is not complete, or not one; a fence in a text of it, with line breaks as they are, does not end it. */
function lengthOf(object: string, isFenced: boolean): number {
  const end = isFenced ? object.search(/\}\s*\n[ \t]*```[ \t]*\r?(?:\n|$)/) : -1;
  return end < 0 ? object.length : end + 1;
}

const LINE_END = /^[ \t]*(?:\r?\n|$)/;
/** At the end of the text too: an answer may stop there. */
const FENCE_END = /^\s*(?:```[ \t]*(?:\r?\n|$)|$)/;

const STATUS = /^\{\s*"status"\s*:\s*"(completed?|refus(?:ed|al)|needs[_ -]clarification)"/i;
const CONTENT_FIRST = /^\{\s*"content"\s*:\s*"/i;
const RESULT_FIELD = /"(?:content|artifacts)"\s*:/i;
const REASON_FIELD = /"(?:reason|message|questions)"\s*:/i;

/** Whether it has the fields of one of the three kinds of answers; another object with a status is some data of the task. */
function isEnvelope(object: string, status: string | undefined): boolean {
  if (status === undefined) return CONTENT_FIRST.test(object);
  return (status.toLowerCase().startsWith('complete') ? RESULT_FIELD : REASON_FIELD).test(object);
}

/** A few words that say what comes, and no part of a document or a program. */
function isLead(before: string): boolean {
  const said = before.trim();
  if (said.length > CHATTER_CHARACTERS || /^#/m.test(said)) return false;
  return said === '' || LEAD_BEGIN.test(said) || (/[:.!]$/.test(said) && !/\n[ \t]*\r?\n/.test(said));
}

const LEAD_BEGIN = new RegExp(`^${CHATTER}`, 'i');
const CHATTER_CHARACTERS = 1000;
