import type { OutputArtifact } from '../contracts/outcome.js';
import type { TSchema } from '../contracts/typebox.js';

export type DomainName = 'code-general' | 'code-vision' | 'code-embedded' | 'documentation' | 'ui-design';

/** A kind of work: what its outputs look like, and what its craft has to say about them. */
export interface Domain {
  readonly name: DomainName;
  readonly description: string;
  /** The output's schema. `content` alone is valid, because a model may answer in free text. */
  readonly output: TSchema;
  /** The language of a fence without a tag. */
  readonly language?: string;
  /** How free text is read: of code, what stands in fences; of prose, the Markdown as it is. */
  readonly kind: 'code' | 'prose';
  /** Findings beyond the schema, in time linear in the output. The output has passed the schema. */
  rules(output: DomainOutput): DomainFinding[];
}

/** What the rules of every domain may rely on. */
export type DomainOutput = {
  readonly content: string;
  readonly artifacts?: readonly OutputArtifact[];
};

/** error: wrong whatever the task asks, the output is not taken; note: worth a look by QA, nothing more. */
export interface DomainFinding {
  readonly severity: 'error' | 'note';
  /** RFC 6901 JSON pointer into the output. */
  readonly path: string;
  readonly message: string;
}
