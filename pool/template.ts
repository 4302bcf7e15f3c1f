import Mustache from 'mustache';
import type { Template } from '../contracts/threads.js';

/** A template that is parsed, ready to be rendered. */
export interface ParsedTemplate {
  /** The system part: the same for every task of a domain in a tier. */
  renderSystem(view: object): string;
  renderUser(view: object): string;
}

/** The template of a job; parsed once, then known by its hash. */
export function templateOf({ sha256, parts }: Template): ParsedTemplate {
  const known = templates.get(sha256);
  if (known !== undefined) return known;
  const bytes = new Uint8Array(parts).slice(); // TextDecoder does not read shared memory
  const { system, user } = JSON.parse(new TextDecoder().decode(bytes)) as { system: string; user: string };
  const parsed = { renderSystem: rendererOf(system), renderUser: rendererOf(user) };
  if (templates.size >= TEMPLATES_KEPT) templates.clear();
  templates.set(sha256, parsed);
  return parsed;
}

/** Packs a template for the threads: shared memory crosses to them without a copy. */
export function packTemplate(name: string, sha256: string, system: string, user: string): Template {
  const bytes = new TextEncoder().encode(JSON.stringify({ system, user }));
  const parts = new SharedArrayBuffer(bytes.length);
  new Uint8Array(parts).set(bytes);
  return { name, sha256, parts };
}

/**
 * Checks the two parts of a template.
 * @throws {Error} when a part is no template, when the user part does not say what the task is, or when the system
 * part uses more than what all tasks of a domain and a tier have in common (so that it is counted and encoded once,
 * and providers can cache it).
 */
export function checkTemplate(system: string, user: string): void {
  if (!variablesOf(user).includes('description'))
    throw new Error('the user part must contain {{description}}');
  const foreign = variablesOf(system).find((name) => !SYSTEM_VARIABLES.includes(name));
  if (foreign !== undefined)
    throw new Error(`the system part may use only ${SYSTEM_VARIABLES.join(', ')}, not ${foreign}`);
}

/** The names that a part uses, however they are written, those inside its sections included. */
function variablesOf(text: string): string[] {
  const namesIn = (tokens: readonly Token[]): string[] =>
    tokens.flatMap(([kind, name, , , inner]) => {
      if (kind === 'text' || kind === '!' || kind === '=') return [];
      return [name, ...(inner === undefined || typeof inner === 'string' ? [] : namesIn(inner))];
    });
  return namesIn(Mustache.parse(text) as readonly Token[]);
}

/** As Mustache has them: kind, name, start, end, and what is inside a section. */
type Token = readonly [
  kind: string,
  name: string,
  start: number,
  end: number,
  inner?: readonly Token[] | string,
];

const SYSTEM_VARIABLES = ['domain', 'tier', 'max_output_tokens'];
const TEMPLATES_KEPT = 64;
const templates = new Map<string, ParsedTemplate>();

function rendererOf(text: string): (view: object) => string {
  const writer = new Mustache.Writer();
  const tokens = Mustache.parse(text) as unknown as string[][];
  const config = { escape: (value: unknown) => String(value) };
  return (view) => writer.renderTokens(tokens, new Mustache.Context(view), {}, text, config);
}
