import { LineCounter, parseDocument, visit, type YAMLError } from 'yaml';
import type { Problem } from './error.js';

/** Parses YAML 1.2 into plain data. Tags, aliases and duplicate keys are problems, not features. */
export function parseYaml(text: string): { readonly value: unknown } | { readonly problems: Problem[] } {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    logLevel: 'error',
    merge: false,
    // Its excerpt of the line could hold a secret.
    prettyErrors: false,
    resolveKnownTags: false,
    schema: 'core',
    stringKeys: true,
    uniqueKeys: true,
  });
  const at = (offset: number | undefined, found: string): Problem => {
    const { line, col } = lines.linePos(offset ?? 0);
    return { path: `line ${line}, column ${col}`, found, expected: 'YAML without tags and aliases' };
  };
  const problems = [...document.errors, ...document.warnings].map((error) =>
    at(error.pos[0], messageOf(error)),
  );
  visit(document, {
    Alias: (_, alias) => {
      problems.push(at(alias.range?.[0], 'an alias'));
    },
  });
  return problems.length > 0 ? { problems } : { value: document.toJS() };
}

// The text of an unexpected token could be a secret.
function messageOf(error: YAMLError): string {
  return error.code === 'UNEXPECTED_TOKEN' ? 'an unexpected token' : error.message;
}
