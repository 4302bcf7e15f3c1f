import { existsSync } from 'node:fs';

/** The folder of package.json, wherever in `dist/` this code has come to lie (decision 0027). */
export const packageRoot = nearest(new URL('./', import.meta.url));

/** A file that the build has written, by its path in `dist/`. */
export function builtFile(path: string): URL {
  return new URL(`dist/${path}`, packageRoot);
}

function nearest(folder: URL): URL {
  if (existsSync(new URL('package.json', folder))) return folder;
  const above = new URL('../', folder);
  if (above.href === folder.href) throw new Error('the code of the service lies in no package');
  return nearest(above);
}
