import { excerpt } from '../contracts/excerpt.js';
import {
  type Recommendation,
  type RefusalReason,
  recommendations,
  refusalReasons,
} from '../contracts/failures.js';
import type { Note } from '../contracts/outcome.js';
import type { Verdict } from '../contracts/threads.js';
import { compile, type Validator, type Violation } from '../contracts/validator.js';
import type { Domain } from '../domains/domain.js';
import { domains } from '../domains/registry.js';
import type { AnswerScanner } from './answer-scanner.js';
import { correct } from './correct.js';
import { findEmbeddedObject } from './embedded-object.js';
import { chatterRemoved, isRefusal, readFreeText } from './free-text.js';
import { parseLenient } from './lenient-json.js';

/** What is known of an answer when the model has ended it. */
export interface Answer {
  readonly scanner: AnswerScanner;
  readonly finishReason: string | undefined;
  /** The provider's own refusal, outside of the content. */
  readonly refusal: string | undefined;
  readonly structured: boolean;
}

/** Judges a finished answer: a valid output (as JSON bytes), a refusal, a question back, or what is wrong. */
export function judge(domain: Domain, answer: Answer): Verdict {
  const { scanner } = answer;
  if (answer.refusal !== undefined || answer.finishReason === 'content_filter') {
    return declined(answer.refusal ?? '');
  }
  if (scanner.text.trim() === '') {
    return answer.finishReason === 'length'
      ? invalid('cut_off', '', [
          { path: '', message: 'the output limit was reached before the answer began' },
        ])
      : invalid('empty', '', [{ path: '', message: 'the answer is empty' }]);
  }
  if (scanner.mode === 'json') {
    const isCut = scanner.end < 0 && answer.finishReason === 'length';
    if (isCut) return cutOff(scanner.text);
    const more = scanner.end < 0 ? '' : scanner.text.slice(scanner.end).trim();
    const notes = NOTHING.test(more) ? [] : [chatterRemoved('text behind the JSON object was left out')];
    return judgeJson(domain, scanner, scanner.text, notes);
  }
  if (answer.finishReason === 'length') return cutOff(scanner.text);
  if (isRefusal(scanner.text, domain.kind)) return declined(scanner.text.trim());
  if (answer.structured) {
    return invalid('wrong_shape', scanner.text, [
      { path: '', message: 'must be the JSON object that was asked for' },
    ]);
  }
  return judgeText(domain, scanner.text);
}

/** Judges an answer that was aborted because it can no longer become valid. */
export function judgeDead(scanner: AnswerScanner): Verdict {
  return { ...invalid('wrong_shape', scanner.text, scanner.dead ?? []), early: true };
}

function declined(said: string): Verdict {
  return {
    kind: 'refused',
    reason: 'declined_by_model',
    recommendation: usualRecommendation.declined_by_model,
    message: excerpt(said, 4096) || 'the provider filtered the answer',
  };
}

/** The answer is longer than it may be. */
export function cutOff(text: string): Verdict & { kind: 'invalid' } {
  return invalid('cut_off', text, [{ path: '', message: 'the answer was cut off by the output limit' }]);
}

export function invalid(
  fault: (Verdict & { kind: 'invalid' })['fault'],
  text: string,
  violations: readonly Violation[],
): Verdict & { kind: 'invalid' } {
  return {
    kind: 'invalid',
    fault,
    early: false,
    violations: violations.slice(0, MAX_VIOLATIONS),
    answer: shorten(text),
  };
}

// They stand in the outcome, in the receipt and in the prompt of the repair.
const MAX_VIOLATIONS = 32;

/** Checks one top-level field as it ends in the stream. */
export function fieldChecker(domain: Domain): (name: string, json: string) => readonly Violation[] {
  const fields = compiled(domain).fields;
  return (name, json) => {
    const validator = fields.get(name);
    if (validator === undefined) return [];
    const parsed = parseLenient(json);
    if (parsed === undefined) return [{ path: `/${name}`, message: 'must be JSON' }];
    if (parsed.value === null) return [];
    const holder = { value: parsed.value };
    correct(holder, validator);
    return validator
      .violations(holder)
      .map((v) => ({ path: `/${name}${v.path.slice('/value'.length)}`, message: v.message }));
  };
}

/** Judges a JSON object that a scanner has read; `text` is the whole answer. */
function judgeJson(
  domain: Domain,
  scanner: AnswerScanner,
  text: string,
  notes: readonly Note[] = [],
): Verdict {
  if (scanner.dead !== undefined) return invalid('wrong_shape', text, scanner.dead);
  if (scanner.end < 0)
    return invalid('wrong_shape', text, [{ path: '', message: 'the JSON object is not complete' }]);
  const parsed = parseLenient(scanner.text.slice(scanner.start, scanner.end));
  if (parsed === undefined) {
    return invalid('wrong_shape', text, [{ path: '', message: 'the answer is not valid JSON' }]);
  }
  return judgeObject(domain, parsed.value as Record<string, unknown>, [...parsed.notes, ...notes], text);
}

function judgeObject(domain: Domain, value: Record<string, unknown>, notes: Note[], text: string): Verdict {
  const { status, reason, recommendation, message, questions, ...output } = value;
  switch (plain(status ?? 'completed')) {
    case 'refused':
    case 'refusal':
      return judgeRefusal(reason, recommendation, message, text);
    case 'needs_clarification':
      return judgeQuestion(questions, message, text);
    case 'completed':
    case 'complete':
      return judgeOutput(domain, output, notes, text);
    default:
      return invalid('wrong_shape', text, [
        { path: '/status', message: 'must be one of completed, refused, needs_clarification' },
      ]);
  }
}

function judgeRefusal(reason: unknown, recommendation: unknown, message: unknown, text: string): Verdict {
  const why = refusalReasons.find((known) => known === plain(reason));
  if (why === undefined) {
    return invalid('wrong_shape', text, [
      { path: '/reason', message: `must be one of ${refusalReasons.join(', ')}` },
    ]);
  }
  return {
    kind: 'refused',
    reason: why,
    recommendation:
      recommendations.find((known) => known === plain(recommendation)) ?? usualRecommendation[why],
    message: typeof message === 'string' ? excerpt(message, 4096) : '',
  };
}

const usualRecommendation: Record<RefusalReason, Recommendation> = {
  complexity: 'needs_decomposition',
  context_overflow: 'needs_larger_model',
  out_of_domain: 'needs_domain_specialist',
  insufficient_context: 'needs_clarification',
  declined_by_model: 'needs_clarification',
};

function judgeQuestion(questions: unknown, message: unknown, text: string): Verdict {
  const asked = (Array.isArray(questions) ? questions : [questions]).filter(
    (q): q is string => typeof q === 'string' && q.trim() !== '',
  );
  const said = typeof message === 'string' ? excerpt(message, 4096) : '';
  if (asked.length === 0 && said === '') {
    return invalid('wrong_shape', text, [{ path: '/questions', message: 'must have at least 1 items' }]);
  }
  return {
    kind: 'needs_clarification',
    questions: asked.slice(0, 32).map((q) => excerpt(q, 2048)),
    message: said || excerpt(asked[0]!, 2048),
  };
}

function judgeText(domain: Domain, text: string): Verdict {
  const embedded = findEmbeddedObject(text, domain.kind);
  if (embedded !== undefined) {
    const notes = [chatterRemoved('text around the JSON object was left out')];
    const verdict = judgeJson(domain, embedded.scanner, text, notes);
    // Beside fields that no answer has, it is the data that was asked for.
    const isData = !embedded.hasStatus && verdict.kind === 'valid' && verdict.notes.some(isRemoval);
    if (!isData && (verdict.kind !== 'invalid' || embedded.isMeant)) return verdict;
  }
  if (ODD_ENVELOPE.test(text) && OBJECT_END.test(text)) {
    const message =
      'must be the JSON object that was asked for: one object, keys and texts in double quotes, no comments';
    return invalid('wrong_shape', text, [{ path: '', message }]);
  }
  const { content, artifacts, notes } = readFreeText(text, domain.kind, domain.language ?? 'text');
  return judgeOutput(domain, artifacts.length > 0 ? { content, artifacts } : { content }, notes, text);
}

/**
 * The object that was asked for as the whole answer, but not as JSON: keys in other quotes or in none, a comment, a list
 * around it, or itself in a string. Its text is nobody's program.
 */
const ODD_ENVELOPE =
  /^[\s\u200b\ufeff]*(?:```(?:json[5c]?)?[ \t]*\r?\n\s*)?(?:\[\s*|")?\{(?:\s|\/\/[^\n]*\n|\/\*[^*]*\*\/|\\n)*(?:\\?["']?status\\?["']?\s*:\s*\\?["'](?:completed?|refus(?:ed|al)|needs[_ -]clarification)|\\?["']?content\\?["']?\s*:\s*\\?["'`])/i;
const OBJECT_END = /[}\]"]\s*(?:```\s*)?$/;

/** Behind an object: the end of its fence, and what some models end everything with. */
const NOTHING = /^(?:```)?\s*(?:<\|[\w▁]{1,32}\|>\s*)*$/;

function isRemoval({ code }: Note): boolean {
  return code === 'field_removed';
}

function judgeOutput(domain: Domain, output: Record<string, unknown>, notes: Note[], text: string): Verdict {
  const { output: validator } = compiled(domain);
  const corrections = correct(output, validator);
  if (!validator.check(output)) return invalid('wrong_shape', text, validator.violations(output));
  const findings = domain.rules(output as Parameters<Domain['rules']>[0]);
  const errors = findings.filter((finding) => finding.severity === 'error');
  if (errors.length > 0) {
    return invalid(
      'wrong_shape',
      text,
      errors.map(({ path, message }) => ({ path, message })),
    );
  }
  return {
    kind: 'valid',
    output: new TextEncoder().encode(JSON.stringify(output)),
    notes: [
      ...notes,
      ...corrections,
      ...findings.map(({ path, message }) => ({ code: 'craft', path, message })),
    ],
  };
}

interface CompiledDomain {
  readonly output: Validator<unknown>;
  /** One validator a field, each for `{value: …}`, so that a correction can be made in place. */
  readonly fields: ReadonlyMap<string, Validator<unknown>>;
}

// Compiled when a thread meets the domain first: most threads never see most domains.
const compiledDomains = new Map<string, CompiledDomain>();

function compiled(domain: Domain): CompiledDomain {
  let entry = compiledDomains.get(domain.name);
  if (entry === undefined) {
    const { properties } = domain.output as unknown as { properties: Record<string, object> };
    const fields = Object.entries(properties)
      .filter(([name]) => name !== 'content')
      .map(([name, schema]) => [name, compile(holderOf(schema))] as const);
    entry = { output: compile(domain.output), fields: new Map(fields) };
    compiledDomains.set(domain.name, entry);
  }
  return entry;
}

function holderOf(schema: object): object {
  return { type: 'object', required: ['value'], properties: { value: schema } };
}

/** The domain of that name. @throws {Error} when there is none: the caller has resolved the task before. */
export function domainOf(name: string): Domain {
  const domain = domains.get(name);
  if (domain === undefined) throw new Error(`there is no domain ${name}`);
  return domain;
}

function plain(name: unknown): string | undefined {
  return typeof name === 'string'
    ? name
        .trim()
        .toLowerCase()
        .replace(/[\s-]+/g, '_')
    : undefined;
}

function shorten(text: string): string {
  return text.length <= 8192 ? text : `${text.slice(0, 6144)}\n[…]\n${text.slice(-2000)}`.toWellFormed();
}
