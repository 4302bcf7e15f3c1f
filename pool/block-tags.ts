import { unitAt } from './tokenizers/units.js';

/**
 * `<` of what could open or close a block of the prompt becomes `&lt;`. What cannot be seen does not help to get past
 * this, wherever in the tag it stands. By hand, because an expression for it takes milliseconds to compile in each thread,
 * and memory for each character of a long run.
 */
export function escapeBlockTags(text: string): string {
  let escaped = '';
  let from = 0;
  for (let at = text.indexOf('<'); at >= 0; at = text.indexOf('<', at + 1)) {
    const name = behind(text, at + 1, isLead, LEAD);
    // Most markup is none of it: one look at its first letter.
    const names = NAMES.get(folded(unitAt(text, name)));
    if (names === undefined || !names.some((wanted) => stands(text, name, wanted))) continue;
    escaped += `${text.slice(from, at)}&lt;`;
    from = at + 1;
  }
  return from === 0 ? text : escaped + text.slice(from);
}

/** By the unit of their first letter. */
const NAMES = new Map(
  [['context', 'constraints'], ['task'], ['acceptance_criteria'], ['inputs', 'input']].map(
    (names) => [unitAt(names[0]!, 0), names] as const,
  ),
);

/** Whether the name stands at `from`, with what cannot be seen between its letters, and no longer word. */
function stands(text: string, from: number, name: string): boolean {
  let at = from;
  for (let letter = 0; letter < name.length; letter++) {
    if (letter > 0) at = behind(text, at, isControl, UNSEEN);
    if (at >= text.length || folded(unitAt(text, at)) !== unitAt(name, letter)) return false;
    at++;
  }
  return at >= text.length || !/[\w-]/.test(String.fromCharCode(folded(unitAt(text, at))));
}

/** Where neither `isPassed`, asked of ASCII, nor the expression, asked of what is beyond, holds any more. */
function behind(text: string, from: number, isPassed: (unit: number) => boolean, beyond: RegExp): number {
  let at = from;
  while (at < text.length) {
    const unit = unitAt(text, at);
    const character = unit < ASCII ? undefined : String.fromCodePoint(text.codePointAt(at)!);
    if (character === undefined ? !isPassed(unit) : !beyond.test(character)) break;
    at += character?.length ?? 1;
  }
  return at;
}

/** As expressions ignore case (ECMA-262, simple case folding): two characters beyond ASCII are a letter of it. */
function folded(unit: number): number {
  if (unit === LONG_S) return SMALL_S;
  if (unit === KELVIN) return SMALL_K;
  return unit >= 0x41 && unit <= 0x5a ? unit + 0x20 : unit;
}

function isLead(unit: number): boolean {
  return unit === SLASH || unit === SPACE || isControl(unit);
}

function isControl(unit: number): boolean {
  return unit < SPACE || unit === 0x7f;
}

const unseen = '\\p{Default_Ignorable_Code_Point}\\p{Cf}\\p{Cc}\\p{Mn}';
const UNSEEN = new RegExp(`[${unseen}]`, 'iu');
const LEAD = new RegExp(`[\\s${unseen}]`, 'iu');
const ASCII = 0x80;
const SPACE = 0x20;
const SLASH = 0x2f;
const SMALL_K = 0x6b;
const SMALL_S = 0x73;
const LONG_S = 0x17f;
const KELVIN = 0x212a;
