import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { closedLoop } from '../../bench/closed-loop.js';
import { callers, openLoop } from '../../bench/open-loop.js';
import { startGateway } from '../../bench/simulators/gateway.js';
import type { GatewayKnobsInput } from '../../bench/simulators/gateway-knobs.js';
import { readStats, setKnobs } from '../../bench/simulators/remote.js';
import { directCall } from '../../bench/tasks.js';

const test = suite('load generators');

const body = () => JSON.stringify(directCall('You write code.', 'gemma3:12b'));
const hasToken = (piece: Buffer) => piece.includes('"content":"');

async function atGateway(knobs: GatewayKnobsInput, run: (url: string) => Promise<void>): Promise<void> {
  const gateway = await startGateway({ port: 0, knobs });
  try {
    await run(gateway.url);
  } finally {
    await gateway.close();
  }
}

test('the open loop waits for no answer, and sends the same number for the same seed', () =>
  atGateway({ ttftMs: 300, chunks: 5 }, async (url) => {
    const target = { url: `${url}/chat/completions`, body, hasToken };
    const load = { rate: 100, seconds: 0.5, seed: 3 };
    const seen = await openLoop(target, load);
    assert.ok(seen.total.count > 25, `${seen.total.count}`);
    assert.ok((await readStats(url)).maxOpen > 10);
    assert.is((await openLoop(target, load)).total.count, seen.total.count);
    assert.is(seen.lateness.count, seen.total.count);
    assert.is(seen.failed, 0);
  }));

test('the first token is seen before the end', () =>
  atGateway({ ttftMs: 20, tokensPerSecond: 100, output: 'x'.repeat(80) }, async (url) => {
    const { first, total } = await callers({ url: `${url}/chat/completions`, body, hasToken }, 1, 0.1);
    assert.ok(first.at(0) >= 19 && total.at(0) - first.at(100) > 50, `${first.at(0)} ${total.at(0)}`);
  }));

test('so many callers have so many requests under way, and no more', () =>
  atGateway({ ttftMs: 10 }, async (url) => {
    await callers({ url: `${url}/chat/completions`, body }, 5, 0.2);
    assert.is((await readStats(url)).maxOpen, 5);
  }));

test('what is refused, breaks off or has no token is counted as failed and not as a latency', () =>
  atGateway({}, async (url) => {
    const target = { url: `${url}/chat/completions`, body, hasToken };
    for (const knobs of [{ status: 503 }, { cutAfterChunks: 1 }, { output: '' }]) {
      await setKnobs(url, knobs);
      const seen = await openLoop(target, { rate: 100, seconds: 0.1, seed: 1 });
      assert.ok(seen.failed > 0, JSON.stringify(knobs));
      assert.is(seen.total.count, 0);
    }
  }));

test('the closed loop counts what is answered well within the time, and the rest apart', () =>
  atGateway({ errorRate: 0.5, status: 500 }, async (url) => {
    const server = { url: new URL(url).origin, cpuMicros: () => 0 };
    const loop = { connections: 4, seconds: 1, path: '/v1/chat/completions', body };
    const round = await closedLoop(server, loop);
    const { calls } = await readStats(url);
    assert.is(round.perSecond.length, 1);
    assert.is(round.perSecond[0], round.latencies.count);
    assert.is(round.rate, round.latencies.count);
    assert.ok(round.answered >= round.latencies.count && round.latencies.count > 0);
    assert.ok(
      round.failed > 0 && round.answered + round.failed <= calls,
      `${round.answered} ${round.failed} ${calls}`,
    );
  }));

test.run();
