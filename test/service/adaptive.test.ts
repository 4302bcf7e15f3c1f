import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { aTask, atService, type ServiceUnderTest, until } from './at-service.js';

const test = suite('adaptive limit of a tier');
const CONCURRENCY = 32;
let service: ServiceUnderTest;

const yaml = (adaptive: boolean) => `
queues: {tiny: {concurrency: ${CONCURRENCY}, timeout: 60, adaptive: ${adaptive}}}
`;

/** Keeps the tier as busy as it may be until so many tasks have ended; returns how many calls were open at once. */
async function openAtOnce(tasks: number): Promise<number> {
  await service.resetStats();
  let left = tasks;
  const lane = async () => {
    while (left-- > 0) assert.equal((await service.execute(aTask({ tier: 'tiny' }))).status, 200);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, lane));
  return (await service.stats()).maxOpen;
}

test('without it, all that is configured runs at an endpoint that cannot keep up', async () => {
  service = await atService(yaml(false));
  try {
    // So slow that who has his answer is back long before the next ones get theirs, however busy the machine is.
    await service.knobs({ parallel: 4, ttftMs: 400 });
    assert.equal(await openAtOnce(48), CONCURRENCY);
  } finally {
    await service.close();
  }
});

test('with it, an endpoint that cannot keep up gets fewer calls, and an endpoint that can gets all', async () => {
  service = await atService(yaml(true));
  try {
    await service.knobs({ parallel: 4, ttftMs: 40 });
    await openAtOnce(160);
    const open = await openAtOnce(60);
    assert.ok(open < CONCURRENCY, `${open} calls were open at once`);
    await service.knobs({ ttftMs: 40 });
    const again = await openAtOnce(600);
    assert.ok(again > open, `${again} calls were open at once when the endpoint kept up, ${open} when not`);
  } finally {
    await service.close();
  }
});

test('an endpoint that refuses calls gets fewer at once', async () => {
  service = await atService(yaml(true));
  const limit = async () => {
    const { text } = await service.ask('GET', '/metrics');
    return Number(/^worker_service_slots_limit\{tier="tiny"\} (\d+)$/m.exec(text)![1]);
  };
  try {
    await service.knobs({ ttftMs: 20 });
    await until(async () => {
      await openAtOnce(60);
      return (await limit()) >= 4;
    }, 'a limit that can fall');
    const before = await limit();
    await service.knobs({ status: 503 });
    await until(async () => {
      await Promise.all(Array.from({ length: 10 }, () => service.execute(aTask({ tier: 'tiny' }))));
      return (await limit()) < before;
    }, 'a lower limit');
  } finally {
    await service.close();
  }
});

test.run();
