import type { DomainFinding } from './domain.js';
import { noteAt, placesOf, type Source } from './sources.js';

/** What should not be left over in code: marks of a merge, and comments that stand for missing code. */
export function leftovers(source: Source): DomainFinding[] {
  return [
    ...noteAt(source, placesOf(conflict, source.text), 'a merge conflict is left in'),
    ...noteAt(source, placesOf(elision, source.text), 'a comment stands where code was left out'),
    ...noteAt(source, placesOf(promise, source.text), 'a comment marks work left to do'),
  ];
}

// A line of `=` is no mark of its own: it underlines headings.
const conflict = /^(?:<{7}|>{7}) \S/gm;

const elision =
  /(?:\/\/|#|\/\*|<!--|--)[ \t]{0,8}(?:(?:\.{3}|…)[ \t]{0,4}\(?(?:the )?(?:rest|remaining|remainder|existing|other|same|unchanged|previous|more)\b|(?:the )?rest of (?:the |your )?(?:code|file|class|function|method|implementation|component|logic)\b|existing code\b)/gi;

const promise =
  /(?:\/\/|#|\/\*|<!--|--)[ \t]{0,8}(?:(?:TODO|FIXME)(?:[:(]|[ \t]{1,4}(?:implement|add|fix|handle|finish|replace|complete)\b)|[Yy]our (?:code|logic|implementation)(?: goes)? here\b|[Aa]dd your (?:code|logic|implementation)\b|[Ii]mplement (?:me|this|here)\b)/g;
