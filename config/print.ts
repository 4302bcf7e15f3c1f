import { stringify } from 'yaml';
import { withoutSecrets } from './fields.js';
import type { Config } from './schema.js';

/** The effective configuration as YAML, with every secret and the credentials in URLs as `***`. */
export function printableConfig(config: Config): string {
  return stringify(withoutSecrets(config), { lineWidth: 0 });
}
