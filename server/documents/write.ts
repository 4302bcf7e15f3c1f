import { readFileSync, writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { packageRoot } from '../../config/package-root.js';
import { asyncApiDocument } from './asyncapi.js';
import { openApiDocument } from './openapi.js';

/**
 * Writes the documents of the contracts. With `--check` it writes nothing, and fails with the names of those
 * that are not as the code would write them.
 */
const documents = [
  { path: 'contracts/openapi.yaml', document: openApiDocument() },
  { path: 'contracts/asyncapi.yaml', document: asyncApiDocument() },
];

const heading = '# Made from the schemas by `node dist/server/documents/write.js`. Do not edit.\n';

// Many tools still read YAML 1.1, where a text may look like a date or a boolean.
const form = { lineWidth: 110, aliasDuplicateObjects: false, compat: 'yaml-1.1' } as const;

for (const { path, document } of documents) {
  const text = heading + stringify(document, form);
  const file = new URL(path, packageRoot);
  // A file that is written anew, although it is the same, would be compiled again.
  if (read(file) === text) continue;
  if (!process.argv.includes('--check')) writeFileSync(file, text);
  else {
    console.error(`${path} is stale: run node dist/server/documents/write.js`);
    process.exitCode = 1;
  }
}

function read(file: URL): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
