import type { Config } from '../config/schema.js';
import type { FailureCode } from '../contracts/failures.js';

/** What the log tells of a failure: without what may repeat the text of the task or of the model, unless prompts are logged. */
export function loggedDetail(log: Config['log'], code: FailureCode, detail: string): string | undefined {
  if (log.prompts) return detail;
  if (tellsOfContent.has(code)) return undefined;
  return quotesGateway.test(detail) ? detail.slice(0, detail.indexOf(':')) : detail;
}

const tellsOfContent: ReadonlySet<FailureCode> = new Set([
  'refused',
  'needs_clarification',
  'output_invalid',
]);
const quotesGateway = /^the gateway (?:answered|reported)[^:]*:/;
