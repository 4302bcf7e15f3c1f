import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { suite } from 'uvu';
import { addToken } from '../../server/tokens/token-file.js';
import { atCluster } from '../cluster/at-cluster.js';
import { startChromium } from '../servers/chromium.js';
import { startProxy } from '../servers/proxy.js';
import { aTask, atService, call, oneTier, onlyTiny, type ServiceUnderTest } from './at-service.js';

const test = suite('the live page');
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const hostile = `<img src=x onerror="document.title='run'"><b>`;
let browser: Browser;
let service: ServiceUnderTest | undefined;

test.before(async () => {
  browser = await startChromium();
});
test.after(() => browser?.close());
test.after.each(async () => {
  await service?.close();
  service = undefined;
});

interface Watched {
  readonly page: Page;
  /** Errors on its console, and what it asked of other places. */
  readonly faults: string[];
}

async function open(url: string, options: BrowserContextOptions = {}): Promise<Watched> {
  const context = await browser.newContext({ reducedMotion: 'reduce', ...options });
  const page = await context.newPage();
  const faults: string[] = [];
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin && !request.url().startsWith('data:'))
      faults.push(`asked ${request.url()}`);
  });
  await page.goto(url);
  return { page, faults };
}

/** What axe finds against WCAG 2 A and AA; the page's own policy would not let it be injected as an element. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run(options: object): Promise<{ violations: { id: string; help: string }[] }> };
    };
    const found = await axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] });
    return found.violations.map(({ id, help }) => `${id}: ${help}`);
  });
}

/** Presses Tab through the page: what can be used and was not reached, and what was not marked when it was. */
async function reachedByTab(page: Page): Promise<{ unreached: string[]; unmarked: string[] }> {
  const usable = await page.evaluate<number>(`
    globalThis.usable = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')]
      .filter((element) => element.checkVisibility() && element.tabIndex >= 0);
    globalThis.reached = new Map();
    usable.length;
  `);
  assert.ok(usable > 0);
  for (let presses = 0; presses <= usable + 2; presses++) {
    await page.keyboard.press('Tab');
    await page.evaluate(`{
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
      reached.set(document.activeElement, outlineStyle !== 'none' && parseFloat(outlineWidth) > 0);
    }`);
  }
  return page.evaluate(`({
    unreached: usable.filter((element) => !reached.has(element)).map((element) => element.outerHTML),
    unmarked: usable.filter((element) => reached.get(element) === false).map((element) => element.outerHTML),
  })`);
}

test('it shows what happens while it is looked at, in light and in dark', async () => {
  service = await atService('gateway: {max_attempts: 1}');
  const { page, faults } = await open(service.url);
  await page.getByText('live', { exact: true }).waitFor();
  await page.getByText('No task has ended yet.').waitFor();
  const task = aTask({ tier: 'tiny' });
  assert.equal((await service.execute(task)).status, 200);
  await page.getByRole('cell', { name: task.task_id }).waitFor();
  await service.knobs({ status: 400, body: hostile });
  const failing = aTask({ tier: 'tiny' });
  await service.execute(failing);
  await page.getByRole('cell', { name: 'gateway_error' }).waitFor();
  assert.equal(await page.getByLabel('Token with the scope read').isVisible(), false);
  const card = page.getByRole('listitem').filter({ hasText: 'tiny' });
  await card.getByText('1 of 2').waitFor();
  await card.getByText(/of 60 s$/).waitFor();
  assert.equal(await page.getByRole('meter', { name: 'slots of tiny in use' }).getAttribute('max'), '10');

  // By keyboard alone: to all that can be used, each with a ring around it, and to the box, which shows failures only.
  assert.deepEqual(await reachedByTab(page), { unreached: [], unmarked: [] });
  const box = page.getByLabel('Failures only');
  for (let presses = 0; presses < 10; presses++) {
    await page.keyboard.press('Tab');
    if (await page.evaluate<boolean>("document.activeElement.id === 'failures'")) break;
  }
  await page.keyboard.press('Space');
  assert.equal(await box.isChecked(), true);
  await page.getByRole('cell', { name: task.task_id, exact: true }).waitFor({ state: 'detached' });
  await page.getByRole('cell', { name: failing.task_id, exact: true }).waitFor();

  const background = () => page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
  const backgrounds: string[] = [];
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    backgrounds.push(await background());
    assert.deepEqual(await violations(page), [], colorScheme);
  }
  assert.notEqual(backgrounds[0], backgrounds[1]);
  assert.deepEqual(faults, []);
  await page.context().close();
});

test('nothing of a task is taken for HTML', async () => {
  service = await atService();
  const { url } = service;
  const { page, faults } = await open(url);
  await page.getByText('live', { exact: true }).waitFor();
  // No id may look so; a page must not rely on it.
  await page.route('**/live', (route) =>
    route.fulfill({
      contentType: 'text/event-stream',
      body: `event: snapshot\ndata: ${JSON.stringify({
        ...{ at: 1, version: hostile, workers: 1, outbox: { depth: 0, oldest_seconds: 0 } },
        tiers: [
          {
            tier: hostile,
            limit_seconds: 1,
            used: 0,
            limit: 1,
            waiting: 0,
            completed: 0,
            failed: 0,
            durations: [],
          },
        ],
        ...{ tokens: [{ model: hostile, direction: 'prompt', value: 1 }], breakers: { [hostile]: 0 } },
        dependencies: { [hostile]: 1 },
        recent: [
          {
            task_id: hostile,
            domain: hostile,
            status: 'failed',
            code: hostile,
            tokens_used: 0,
            finished_at: 1,
          },
        ],
      })}\n\n`,
    }),
  );
  await page.reload();
  await page.getByRole('heading', { name: hostile }).waitFor();
  await page.getByRole('cell', { name: hostile }).first().waitFor();
  assert.equal(await page.locator('img, b').count(), 0);
  assert.notEqual(await page.title(), 'run');
  assert.deepEqual(faults, []);
  await page.context().close();
});

test('it says that it is disconnected, and comes back by itself', async () => {
  service = await atService();
  const { page } = await open(service.url);
  await page.getByText('live', { exact: true }).waitFor();
  await page.route('**/live', (route) => route.abort());
  await page.reload();
  await page.getByText('disconnected, trying again').waitFor();
  await page.unroute('**/live');
  await page.getByText('live', { exact: true }).waitFor();
  await page.context().close();
});

test('an open stream that breaks is opened again', async () => {
  service = await atService();
  const proxy = await startProxy(Number(new URL(service.url).port));
  try {
    const { page } = await open(`http://127.0.0.1:${proxy.port}/`);
    await page.getByText('live', { exact: true }).waitFor();
    const task = aTask({ tier: 'tiny' });
    proxy.cut();
    await page.getByText('disconnected, trying again').waitFor();
    await service.execute(task);
    await page.getByText('live', { exact: true }).waitFor();
    await page.getByRole('cell', { name: task.task_id }).waitFor();
    await page.context().close();
  } finally {
    await proxy.close();
  }
});

test('where there are tokens it asks for one, and keeps it for the tab', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'worker-service-page-'));
  const file = join(directory, 'tokens.json');
  const token = addToken(file, { name: 'page', scopes: ['read'] });
  service = await atService(`${oneTier}\nserver: {tokens_file: ${file}}`);
  assert.equal((await service.ask('GET', '/live')).status, 401);
  const { page } = await open(service.url);
  const field = page.getByLabel('Token with the scope read');
  await field.waitFor();
  assert.deepEqual(await violations(page), []);
  assert.deepEqual(await reachedByTab(page), { unreached: [], unmarked: [] });
  await field.focus();
  await page.keyboard.type('wrong');
  await page.keyboard.press('Enter');
  await page.getByText('This token does not open the page.').waitFor();
  await field.fill(token);
  await page.keyboard.press('Enter');
  await page.getByText('live', { exact: true }).waitFor();
  await page.reload();
  await page.getByRole('heading', { name: 'tiny' }).waitFor();
  await page.goto(`${service.url}/docs`);
  await page.getByText('/tasks/{task_id}/receipt').first().waitFor();
  await page.evaluate('sessionStorage.clear()');
  await page.reload();
  await page.getByText('is needed: give it to the').waitFor();
  await page.context().close();
  rmSync(directory, { recursive: true });
});

test('/docs shows the document, and asks nobody else for anything', async () => {
  service = await atService();
  const { page, faults } = await open(`${service.url}/docs`);
  await page.getByText('Execute a task').first().waitFor();
  const receipt = page.getByText('/tasks/{task_id}/receipt').first();
  await receipt.waitFor();
  assert.deepEqual(await violations(page), []);
  await receipt.click();
  await page.getByText('store_unavailable').first().waitFor({ state: 'attached' });
  assert.deepEqual(await violations(page), []);
  assert.deepEqual(faults, []);
  await page.context().close();
});

test('both can be switched off', async () => {
  service = await atService(`${oneTier}\nserver: {page: false, docs: false}`);
  for (const path of ['/', '/live', '/page.js', '/docs', '/docs/docs.js'])
    assert.equal((await service.ask('GET', path)).status, 404, path);
});

test('on a node of several processes it shows the tasks of all', async () => {
  const cluster = await atCluster(onlyTiny(10, 60));
  try {
    const { page } = await open(cluster.url);
    await page.getByText('2 processes').waitFor();
    const headers = { 'content-type': 'application/json', connection: 'close' };
    const tasks = Array.from({ length: 12 }, () => aTask({ tier: 'tiny' }));
    await Promise.all(
      tasks.map((task) => call(`${cluster.url}/execute`, 'POST', JSON.stringify(task), headers)),
    );
    for (const { task_id } of tasks) await page.getByRole('cell', { name: task_id, exact: true }).waitFor();
    await page.context().close();
  } finally {
    await cluster.close();
  }
});

test.run();
