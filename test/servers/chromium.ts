import { type Browser, chromium } from 'playwright-core';
import { commandPath, ensureInstalled } from '../../bench/servers/debian.js';

/** Debian's Chromium, headless; installed when it is missing. */
export function startChromium(): Promise<Browser> {
  const executablePath = ensureInstalled('chromium', () => commandPath('chromium'));
  // Its sandbox needs a user who is not root.
  return chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
}
