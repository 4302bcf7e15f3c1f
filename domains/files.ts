import type { DomainFinding, DomainOutput } from './domain.js';

/** What is wrong with the files of an output, whatever the task. */
export function fileFindings(output: DomainOutput): DomainFinding[] {
  const findings: DomainFinding[] = [];
  const error = (path: string, message: string) => findings.push({ severity: 'error', path, message });
  if (isOnlyFences(output.content)) error('/content', 'is nothing but a code fence marker');
  const seen = new Map<string, number>();
  for (const [index, { path, content }] of (output.artifacts ?? []).entries()) {
    const first = seen.get(path);
    if (first !== undefined) error(`/artifacts/${index}/path`, `is the path of artifact ${first} too`);
    else seen.set(path, index);
    if (content === undefined) continue;
    if (content.trim() === '') error(`/artifacts/${index}/content`, 'is empty');
    else if (isOnlyFences(content))
      error(`/artifacts/${index}/content`, 'is nothing but a code fence marker');
  }
  return findings;
}

const longestMarkers = 256;

/** One fence marker, or a pair with nothing between. */
function isOnlyFences(text: string): boolean {
  const trimmed = text.trim();
  return (
    trimmed.length <= longestMarkers && /^(?:`{3,}|~{3,})[^\n`~]*(?:\n\s*(?:`{3,}|~{3,}))?$/.test(trimmed)
  );
}
