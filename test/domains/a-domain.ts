import type { DomainFinding, DomainName, DomainOutput } from '../../domains/domain.js';
import { domainNames, domains } from '../../domains/registry.js';

/** The domain of that name, or the test fails. */
export function aDomain(name: string) {
  const domain = domains.get(name);
  if (domain === undefined) throw new Error(`no domain ${name}`);
  return domain;
}

/** Findings on one file that is the whole output. */
export function findingsOn(name: DomainName, language: string, content: string): DomainFinding[] {
  return aDomain(name).rules({ content, artifacts: [{ type: 'code', language, path: 'a.txt' }] });
}

/** Messages of the findings, without the line. */
export function messagesOn(name: DomainName, language: string, content: string): string[] {
  return findingsOn(name, language, content).map(({ message }) => message.replace(/^line [^:]*: /, ''));
}

/** Findings of every domain on one output. */
export function findingsOfAll(output: DomainOutput): DomainFinding[][] {
  return domainNames.map((name) => aDomain(name).rules(output));
}
