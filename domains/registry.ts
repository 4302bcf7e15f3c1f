import { codeEmbedded } from './code-embedded.js';
import { codeGeneral } from './code-general.js';
import { codeVision } from './code-vision.js';
import { documentation } from './documentation.js';
import type { Domain, DomainName } from './domain.js';
import { uiDesign } from './ui-design.js';

/** Every domain by its name. A new one is a file of its own and a line here. */
export const domains: ReadonlyMap<string, Domain> = new Map(
  [codeGeneral, codeVision, codeEmbedded, documentation, uiDesign].map((domain) => [domain.name, domain]),
);

export const domainNames: readonly DomainName[] = [...domains.values()].map(({ name }) => name);
