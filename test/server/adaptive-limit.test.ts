import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { randomOf } from '../../bench/simulators/random.js';
import { AdaptiveLimit, CallMeter, type CallWindow } from '../../server/adaptive-limit.js';

const test = suite('adaptive limit');

/** An endpoint that works on so many calls at once, and lets the others wait. */
class Model {
  parallel: number;
  readonly #random = randomOf(1, 0);

  constructor(parallel: number) {
    this.parallel = parallel;
  }

  /** Runs some windows with as many calls as the limit allows. */
  run(limit: AdaptiveLimit, windows: number, demand = Number.POSITIVE_INFINITY): number[] {
    return Array.from({ length: windows }, () => {
      const running = Math.min(limit.limit, demand);
      const latencyMs = 100 * Math.max(1, running / this.parallel) * (0.9 + 0.2 * this.#random());
      limit.update({ answered: running, latencyMs, ageMs: 0, refused: 0 }, running);
      return limit.limit;
    });
  }
}

/** The limit after one window in which `running` ran at once: without it as many as might. */
function after(limit: AdaptiveLimit, window: Partial<CallWindow>, running = limit.limit): number {
  limit.update({ answered: 5, latencyMs: 0, ageMs: 0, refused: 0, ...window }, running);
  return limit.limit;
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
  const refused = () => limit.update({ answered: 5, latencyMs: 100, ageMs: 0, refused: 1 }, limit.limit);
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

test('it doubles until the endpoint slows down, and then goes by the latency', () => {
  const limit = new AdaptiveLimit(1, 64);
  assert.deepEqual(
    [100, 100, 100, 100, 400, 100, 100].map((latencyMs) => after(limit, { latencyMs })),
    [2, 4, 8, 16, 12, 13, 13],
  );
  const barely = new AdaptiveLimit(1, 64);
  assert.deepEqual([after(barely, { latencyMs: 100 }), after(barely, { latencyMs: 150 })], [2, 4]);
});

test('a refused call ends the doubling', () => {
  const limit = new AdaptiveLimit(8, 64);
  after(limit, { latencyMs: 100 });
  assert.equal(after(limit, { latencyMs: 100, refused: 1 }), 11);
  assert.equal(after(limit, { latencyMs: 100 }), 11);
  assert.equal(after(limit, { latencyMs: 100 }), 12);
});

test('a window without calls changes nothing', () => {
  const limit = new AdaptiveLimit(1, 64);
  after(limit, { latencyMs: 100 });
  assert.equal(after(limit, { answered: 0, latencyMs: 0 }), 2);
  assert.equal(after(limit, { latencyMs: 100 }), 4);
});

test('every fifty windows half of the limit finds the best latency anew', () => {
  const probing = () => {
    const limit = new AdaptiveLimit(1, 16);
    for (let i = 0; i < 49; i++) after(limit, { latencyMs: 100 });
    assert.equal(limit.limit, 16);
    assert.equal(after(limit, { latencyMs: 100 }), 8);
    return limit;
  };
  const limit = probing();
  assert.equal(after(limit, { latencyMs: 500, ageMs: 60_000 }), 8, 'calls that had begun beside more');
  assert.equal(after(limit, { latencyMs: 200 }), 16);
  assert.equal(after(limit, { latencyMs: 300 }), 16);
  assert.equal(after(limit, { latencyMs: 600 }), 12);
  assert.equal(after(probing(), { latencyMs: 100, refused: 1 }), 11, 'a refused call ends the probe');
});

test('what few calls find is as good as a probe', () => {
  const limit = new AdaptiveLimit(1, 64);
  for (let i = 0; i < 3; i++) after(limit, { latencyMs: 100 });
  assert.equal(after(limit, { latencyMs: 1500, ageMs: 60_000 }, 1), 8, 'calls that had begun beside more');
  assert.equal(after(limit, { latencyMs: 300 }, 1), 8);
  assert.equal(after(limit, { latencyMs: 400 }), 7);
  const idle = new AdaptiveLimit(4, 64);
  after(idle, { latencyMs: 100 }, 1);
  assert.equal(after(idle, { latencyMs: 200 }), 4);
  const half = new AdaptiveLimit(4, 64);
  assert.equal(after(half, { latencyMs: 100 }, 2), 8);
});

test('calls that are longer than many windows do not make a probe of what they have seen under load', () => {
  const parallel = 20;
  let now = 0;
  const meter = new CallMeter(() => now);
  const limit = new AdaptiveLimit(1, 100, () => now);
  const random = randomOf(1, 0);
  const limits: number[] = [];
  /** When each of the endpoint's places is free again, and the calls that run. */
  const free: number[] = Array(parallel).fill(0);
  const calls: { begunAt: number; endsAt: number }[] = [];
  while (limits.length < 600) {
    while (calls.length < limit.limit) {
      const place = free.indexOf(Math.min(...free));
      free[place] = Math.max(now, free[place]!) + 9_000 + 2_000 * random();
      calls.push({ begunAt: now, endsAt: free[place]! });
    }
    calls.sort((a, b) => a.endsAt - b.endsAt);
    const ended = calls.shift()!;
    now = ended.endsAt;
    const window = meter.add(now - ended.begunAt);
    if (window === undefined) continue;
    limit.update(window, calls.length + 1);
    limits.push(limit.limit);
  }
  between(limits.slice(200), 20, 50);
});

test('a window has at least five calls and 250 ms, and the next one begins with nothing', () => {
  let now = 1000;
  const meter = new CallMeter(() => now);
  for (let i = 0; i < 100; i++) assert.equal(meter.add(10), undefined);
  now += 249;
  assert.equal(meter.add(10), undefined);
  now += 1;
  assert.deepEqual(meter.add(undefined), { answered: 101, latencyMs: 10, ageMs: 260, refused: 1 });
  for (let i = 0; i < 10; i++) assert.equal(meter.add(undefined), undefined);
  now += 250;
  assert.deepEqual(meter.add(undefined), { answered: 0, latencyMs: 0, ageMs: 0, refused: 11 });
  now += 250;
  assert.deepEqual(
    [meter.add(20), meter.add(20), meter.add(undefined), meter.add(undefined)],
    Array(4).fill(undefined),
  );
  assert.deepEqual(meter.add(80), { answered: 3, latencyMs: 40, ageMs: 80, refused: 2 });
});

test('an endpoint that answers within the resolution of the clock is one that queues nothing', () => {
  const limit = new AdaptiveLimit(1, 8);
  for (let window = 0; window < 5; window++) after(limit, { latencyMs: 0 });
  assert.equal(limit.limit, 8);
});

test.run();
