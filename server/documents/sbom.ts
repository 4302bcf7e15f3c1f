import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../config/package-root.js';

/**
 * `npm run --silent sbom`: prints the bill of materials of what is shipped (CycloneDX), from the lock file. npm's own
 * `--omit dev` leaves out what a development package needs as well, so npm gets to see no development package.
 */
const read = (name: string) => JSON.parse(readFileSync(new URL(name, packageRoot), 'utf8'));
const { devDependencies: _, ...shipped } = read('package.json');
const lock = read('package-lock.json');
delete lock.packages[''].devDependencies;
const packages = Object.entries<{ dev?: boolean }>(lock.packages).filter(([, { dev }]) => dev !== true);

const directory = mkdtempSync(join(tmpdir(), 'worker-service-sbom-'));
try {
  writeFileSync(join(directory, 'package.json'), JSON.stringify(shipped));
  const onlyShipped = { ...lock, packages: Object.fromEntries(packages) };
  writeFileSync(join(directory, 'package-lock.json'), JSON.stringify(onlyShipped));
  const args = ['sbom', '--sbom-format', 'cyclonedx', '--package-lock-only'];
  process.stdout.write(
    execFileSync('npm', args, {
      cwd: directory,
      maxBuffer: 64 * 2 ** 20,
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  );
} finally {
  rmSync(directory, { recursive: true });
}
