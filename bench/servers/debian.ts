import { spawnSync } from 'node:child_process';

/**
 * Finds what a test or a benchmark needs of a Debian package, installing the package when it is missing and we are root.
 * @param isThere where the wanted thing is, or undefined when it is not there.
 * @throws Error that says what to do when it is missing and cannot be installed.
 */
export function ensureInstalled(packageName: string, isThere: () => string | undefined): string {
  const found = isThere();
  if (found !== undefined) return found;
  if (process.getuid?.() !== 0) {
    throw new Error(`the Debian package ${packageName} is missing: install it, or run this as root`);
  }
  console.log(`installing the Debian package ${packageName}`);
  const { status, stderr, error } = spawnSync(
    'flock',
    ['/tmp/worker-service-apt.lock', 'sh', '-ec', install, 'sh', packageName],
    { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' },
  );
  const installed = isThere();
  if (installed !== undefined) return installed;
  const reason = error?.message ?? (status === 0 ? 'it holds other files than expected' : stderr.trim());
  throw new Error(`the Debian package ${packageName} could not be installed: ${reason}`);
}

/** The path of a command, or undefined where there is none. */
export function commandPath(name: string): string | undefined {
  const found = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim();
  return found === '' ? undefined : found;
}

/** The policy keeps the package's own server from starting; one that is there already is somebody else's. */
const install = `
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\\nexit 101\\n' > "$policy"
  chmod 755 "$policy"
fi
add() {
  apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "$1"
}
# Lists of packages that are missing or too old are what can be helped; a held lock was waited for.
if ! said=$(add "$1" 2>&1); then
  case "$said" in
    *'dpkg frontend lock'*) echo "$said" >&2; exit 1 ;;
  esac
  apt-get -q -o DPkg::Lock::Timeout=120 update
  add "$1"
fi
`;
