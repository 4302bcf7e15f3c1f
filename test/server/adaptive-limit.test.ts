import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { AdaptiveLimit, CallMeter } from '../../server/adaptive-limit.js';

const test = suite('adaptive limit');

/** An endpoint that works on so many calls at once, and lets the others wait. */
class Model {
  parallel: number;
  #seed = 1;

  constructor(parallel: number) {
    this.parallel = parallel;
  }

  /** Runs some windows with as many calls as the limit allows. */
  run(limit: AdaptiveLimit, windows: number, demand = Number.POSITIVE_INFINITY): number[] {
    return Array.from({ length: windows }, () => {
      const running = Math.min(limit.limit, demand);
      const latencyMs = 100 * Math.max(1, running / this.parallel) * (0.9 + 0.2 * this.#random());
      limit.update({ answered: running, latencyMs, refused: 0 }, running);
      return limit.limit;
    });
  }

  #random(): number {
    this.#seed = (this.#seed * 48_271) % 2_147_483_647;
    return this.#seed / 2_147_483_647;
  }
}

const between = (values: readonly number[], low: number, high: number) => {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  assert.ok(mean >= low && mean <= high, `the mean of ${values} is not between ${low} and ${high}`);
};

test('it begins with the least, and finds what the endpoint can do', () => {
  const limit = new AdaptiveLimit(1, 100);
  assert.equal(limit.limit, 1);
  const model = new Model(20);
  model.run(limit, 200);
  between(model.run(limit, 100), 20, 50);
});

test('an endpoint that never slows down gets all that is configured', () => {
  const limit = new AdaptiveLimit(2, 16);
  const limits = new Model(1000).run(limit, 120);
  assert.equal(Math.max(...limits), 16);
  assert.equal(limits.filter((each) => each === 16).length >= 110, true, String(limits));
});

test('it follows an endpoint that loses half of its power, and gets it back', () => {
  const limit = new AdaptiveLimit(1, 200);
  const model = new Model(40);
  model.run(limit, 200);
  const full = model.run(limit, 50);
  model.parallel = 10;
  model.run(limit, 100);
  between(model.run(limit, 50), 10, 25);
  model.parallel = 40;
  model.run(limit, 400);
  between(model.run(limit, 50), Math.min(...full) * 0.6, Math.max(...full) * 1.6);
});

test('refused calls lower it by a factor, down to the least and no further', () => {
  const limit = new AdaptiveLimit(3, 64);
  new Model(1000).run(limit, 20);
  const refused = () => limit.update({ answered: 5, latencyMs: 100, refused: 1 }, limit.limit);
  refused();
  assert.equal(limit.limit, 44);
  for (let i = 0; i < 20; i++) refused();
  assert.equal(limit.limit, 3);
  assert.equal(Math.max(...new Model(1000).run(limit, 200)), 64);
});

test('while fewer run than may, nothing is learnt of a higher limit', () => {
  const limit = new AdaptiveLimit(4, 64);
  new Model(1000).run(limit, 100, 1);
  assert.equal(limit.limit, 4);
});

test('a window has several calls, and ends with one of them', async () => {
  const meter = new CallMeter();
  for (let i = 0; i < 100; i++) meter.add(10);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(meter.add(undefined)?.refused, 1);
  for (let i = 0; i < 4; i++) assert.equal(meter.add(20), undefined);
});

test.run();
