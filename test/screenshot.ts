import { fileURLToPath } from 'node:url';
import { startChromium } from './servers/chromium.js';
import { aTask, atService } from './service/at-service.js';

/** `npm run screenshot`: takes the picture of the live page for the documents, with some tasks under way. */
const target = fileURLToPath(new URL('../../docs/live-page.png', import.meta.url));
const service = await atService('gateway: {max_attempts: 1}');
const browser = await startChromium();
try {
  await service.knobs({
    ttftMs: 60,
    tokensPerSecond: 800,
    jitter: 0.6,
    errorRate: 0.04,
    status: 503,
    seed: 3,
  });
  const page = await browser.newPage({ viewport: { width: 1180, height: 980 }, deviceScaleFactor: 1 });
  await page.goto(service.url);
  const until = Date.now() + 20_000;
  const lane = async (tier: string, domain: string) => {
    while (Date.now() < until) await service.execute(aTask({ tier, domain }));
  };
  const lanes = [
    ...Array.from({ length: 7 }, () => lane('tiny', 'code-general')),
    ...Array.from({ length: 7 }, () => lane('small', 'documentation')),
    ...Array.from({ length: 2 }, () => lane('large', 'ui-design')),
    lane('coding', 'code-embedded'),
  ];
  await new Promise((resolve) => setTimeout(resolve, 17_000));
  await page.screenshot({ path: target });
  await Promise.all(lanes);
} finally {
  await browser.close();
  await service.close();
}
