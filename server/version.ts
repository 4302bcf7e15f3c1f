import { readFileSync } from 'node:fs';
import { packageRoot } from '../config/package-root.js';

/** The version of this service, as in package.json. */
export const { version } = JSON.parse(readFileSync(new URL('package.json', packageRoot), 'utf8')) as {
  version: string;
};
