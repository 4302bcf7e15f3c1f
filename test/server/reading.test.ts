import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { loadConfig } from '../../config/load.js';
import { domainNames } from '../../domains/registry.js';
import { openPools, type Pools } from '../../pool/pools.js';
import { type ReadWatcher, StreamReading } from '../../server/reading.js';

const test = suite('reading a stream in a thread that may die');

let pools: Pools;

test.before(async () => {
  pools = await openPools(loadConfig({ env: {}, argv: [], domains: domainNames }));
});
test.after(() => pools.close());

test('a stream in many parts gives the same output and count as in one', async () => {
  const content = 'line of text\n'.repeat(2000);
  const whole = await read([streamOf(content)]);
  const bytes = streamOf(content);
  const parts = Array.from({ length: Math.ceil(bytes.length / 1000) }, (_, i) =>
    bytes.subarray(i * 1000, i * 1000 + 1000),
  );
  const split = await read(parts, { pauseEvery: 7 });
  assert.deepEqual(split.counted, whole.counted);
  assert.equal(contentOf(split), content);
});

test('a thread that dies in the middle of a stream is replaced, and nothing of the answer is lost or doubled', async () => {
  const content = 'abc 😀 '.repeat(5000);
  const bytes = streamOf(content);
  const seen: string[] = [];
  const deaths: string[] = [];
  const note = (tier: string) => deaths.push(tier);
  pools.events.on('threadDied', note);
  const reading = start(seen);
  const half = Math.floor(bytes.length / 2);
  for (let at = 0; at < half; at += 5000) {
    reading.data(bytes.subarray(at, Math.min(half, at + 5000)));
    await sleep(2);
  }
  await sleep(30);
  await pools.killThreads('large');
  for (let at = half; at < bytes.length; at += 5000) reading.data(bytes.subarray(at, at + 5000));
  reading.end('clean');
  const result = await reading.result;
  assert.equal(contentOf(result), content);
  assert.equal(seen.join(''), content);
  pools.events.off('threadDied', note);
  assert.deepEqual(deaths, ['large']);
});

test('what the stream has told of its answer outlives the thread', async () => {
  const message = (delta: object, more = {}) =>
    Buffer.from(`data: ${JSON.stringify({ model: 'm-1', choices: [{ index: 0, delta, ...more }] })}\n\n`);
  const reading = start();
  reading.data(message({ content: 'def f(' }, { finish_reason: 'length' }));
  await sleep(50);
  await pools.killThreads('large');
  reading.data(Buffer.from('data: [DONE]\n\n'));
  reading.end('clean');
  const { end, finishReason, model } = await reading.result;
  assert.deepEqual([finishReason, model], ['length', 'm-1']);
  assert.ok(end.kind === 'judged' && end.verdict.kind === 'invalid', JSON.stringify(end));
  assert.equal(end.verdict.fault, 'cut_off');
});

test('a message with the whole answer, behind its parts, does not double it when the thread has died between', async () => {
  const data = (choice: object) =>
    Buffer.from(`data: ${JSON.stringify({ choices: [{ index: 0, ...choice }] })}\n\n`);
  const content = '{"content":"x = 1"}';
  const reading = start();
  reading.data(data({ delta: { content } }));
  await sleep(50);
  await pools.killThreads('large');
  reading.data(data({ message: { role: 'assistant', content }, finish_reason: 'stop' }));
  reading.end('clean');
  assert.equal(contentOf(await reading.result), 'x = 1');
});

test('a stream that ends without an end of the answer is broken', async () => {
  const bytes = streamOf('x'.repeat(100));
  const result = await read([bytes.subarray(0, bytes.length - 200)]);
  assert.equal(result.end.kind, 'broken');
});

test('a stream that neither goes on nor ends after the answer was over is left after a moment', async () => {
  const reading = start();
  const bytes = Buffer.from(streamOf('x').toString().replace('data: [DONE]\n\n', ''));
  reading.data(bytes);
  assert.equal(contentOf(await reading.result), 'x');
});

test('the limit of an output counts its bytes in UTF-8', async () => {
  const content = 'é😀'.repeat(300);
  const bytes = Buffer.byteLength(JSON.stringify({ status: 'completed', content }));
  const within = start([], bytes);
  within.data(streamOf(content));
  within.end('clean');
  assert.equal(contentOf(await within.result), content);
  const beyond = start([], bytes - 1);
  beyond.data(streamOf(content));
  beyond.end('clean');
  const { end } = await beyond.result;
  assert.ok(end.kind === 'judged' && end.verdict.kind === 'invalid');
  assert.equal(end.verdict.fault, 'too_large');
});

test.run();

function start(seen: string[] = [], maxOutputBytes = 10_000_000): StreamReading {
  const watcher: ReadWatcher = {
    isLive: () => true,
    firstBytes: () => {},
    progress: (delta) => {
      seen.push(delta);
    },
    voided: () => {
      seen.length = 0;
    },
    ready: () => undefined,
  };
  const stream = { pause: () => {}, resume: () => {}, abort: () => {} };
  const target = {
    domain: 'code-general',
    protocol: 'chat_completions' as const,
    tokenizer: 'o200k_harmony' as const,
    structured: false,
    maxOutputTokens: 1_000_000,
    maxOutputBytes,
  };
  return new StreamReading(pools.tier('large'), target, stream, watcher);
}

async function read(parts: Uint8Array[], { pauseEvery = 0 } = {}) {
  const reading = start();
  for (const [i, part] of parts.entries()) {
    reading.data(part);
    if (pauseEvery > 0 && i % pauseEvery === 0) await sleep(1);
  }
  reading.end('clean');
  return reading.result;
}

function streamOf(content: string): Buffer {
  const answer = JSON.stringify({ status: 'completed', content });
  const events: string[] = [];
  for (let at = 0; at < answer.length; at += 50) {
    events.push(JSON.stringify({ choices: [{ index: 0, delta: { content: answer.slice(at, at + 50) } }] }));
  }
  events.push(JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }), '[DONE]');
  return Buffer.from(events.map((event) => `data: ${event}\n\n`).join(''));
}

function contentOf({ end }: Awaited<StreamReading['result']>): string {
  assert.ok(end.kind === 'judged' && end.verdict.kind === 'valid', JSON.stringify(end).slice(0, 300));
  return (JSON.parse(new TextDecoder().decode(end.verdict.output)) as { content: string }).content;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
