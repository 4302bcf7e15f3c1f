import { type Browser, chromium } from 'playwright-core';
import { commandPath, ensureInstalled } from '../../bench/servers/debian.js';

/** Debian's Chromium without a desktop, which takes half of the CPU of the whole one; installed when it is missing. */
export function startChromium(): Promise<Browser> {
  const name = 'chromium-headless-shell';
  const executablePath = ensureInstalled(name, () => commandPath(name));
  // Its sandbox needs a user who is not root.
  return chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
}
