import { spawnSync } from 'node:child_process';
import { type Browser, chromium } from 'playwright-core';
import { ensureInstalled } from '../../bench/servers/debian.js';

/** Debian's Chromium, headless; installed when it is missing. */
export function startChromium(): Promise<Browser> {
  const executablePath = ensureInstalled('chromium', () => {
    const found = spawnSync('sh', ['-c', 'command -v chromium'], { encoding: 'utf8' }).stdout.trim();
    return found === '' ? undefined : found;
  });
  // Its sandbox needs a user who is not root.
  return chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
}
