import { type ErrorCode, LineCounter, parseDocument, visit, type YAMLError } from 'yaml';
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
  const at = (
    offset: number | undefined,
    found: string,
    expected = 'YAML 1.2, without tags and aliases',
  ): Problem => {
    const { line, col } = lines.linePos(offset ?? 0);
    return { path: `line ${line}, column ${col}`, found, expected };
  };
  const problems = [...document.errors, ...document.warnings].map((error) =>
    at(error.pos[0], messageOf(error), expectedFor[error.code]),
  );
  visit(document, {
    Node: (_, { tag, range }) => {
      if (tag === undefined || problems.length > 0) return;
      // The range of a node begins behind its tag.
      const before = text.slice(0, range?.[0]);
      problems.push(at(/!\S*\s*$/.exec(before)?.index ?? range?.[0], 'a tag'));
    },
    Alias: (_, alias) => {
      problems.push(at(alias.range?.[0], 'an alias'));
    },
  });
  return problems.length > 0 ? { problems } : { value: document.toJS() };
}

/** What stands in the place of messages that quote the text, which could be a secret. */
const unquoted: Partial<Record<ErrorCode, string>> = {
  BAD_DIRECTIVE: 'an unknown directive',
  BAD_DQ_ESCAPE: 'an escape sequence that is none',
  TAG_RESOLVE_FAILED: 'a tag',
  UNEXPECTED_TOKEN: 'an unexpected token',
};

const expectedFor: Partial<Record<ErrorCode, string>> = {
  DUPLICATE_KEY: 'each key once',
  MULTIPLE_DOCS: 'one document',
  TAB_AS_INDENT: 'spaces in the indentation',
};

function messageOf({ code, message }: YAMLError): string {
  return unquoted[code] ?? message;
}
