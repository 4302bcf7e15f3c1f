import { readFileSync } from 'node:fs';

/** The folder of package.json; compiled code lies in `dist/server/`. */
export const packageRoot = new URL('../../', import.meta.url);

/** The version of this service, as in package.json. */
export const { version } = JSON.parse(readFileSync(new URL('package.json', packageRoot), 'utf8')) as {
  version: string;
};
