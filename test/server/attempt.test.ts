import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { loadConfig } from '../../config/load.js';
import type { Assembled, Reading, ReadJob, Template } from '../../contracts/threads.js';
import { domainNames } from '../../domains/registry.js';
import { type CallParts, callOnce } from '../../server/attempt.js';
import { Deadline } from '../../server/deadline.js';
import type { ExecutionWatcher } from '../../server/execution-watcher.js';
import type { StreamSink } from '../../server/gateway/answer-body.js';
import type { CallStart } from '../../server/gateway/call-start.js';
import type { Gateway, GatewayRequest } from '../../server/gateway/gateway.js';
import { openJournal } from '../../server/journal.js';
import { type ResolvedTask, targetOf } from '../../server/resolution.js';

const test = suite('one call to the gateway');
const config = loadConfig({ env: {}, argv: [], domains: domainNames });
const task = { task_id: 'task-1', domain: 'code-general', description: 'anything' };
const prompt = { kind: 'assembled', body: new Uint8Array(), promptTokens: 100 } as Assembled & {
  kind: 'assembled';
};
const realNow = performance.now.bind(performance);
let clock = 0;

test.before.each(() => {
  clock = 1000;
  performance.now = () => clock;
});
test.after.each(() => {
  performance.now = realNow;
});

/** A call in the tier `tiny`: what was written down of it, and the latencies that the slots were told of. */
async function called(
  answer: (request: GatewayRequest, sink: () => StreamSink) => void,
  read: (job: ReadJob) => Promise<Reading>,
  start: CallStart = { kind: 'streaming' },
  exactCounts = true,
) {
  const deadline = new Deadline(60_000);
  const journal = openJournal({ name: 'code-general', sha256: '' } as Template);
  const latencies: (number | undefined)[] = [];
  const stream = { pause() {}, resume() {}, abort() {} };
  const gateway: Pick<Gateway, 'call'> = {
    call: async (request, open) => {
      answer(request, () => open(stream));
      return start;
    },
  };
  const parts = {
    config,
    gateway,
    pools: { tier: () => ({ read }) },
    slots: { observe: (_: string, latency: number | undefined) => latencies.push(latency) },
  };
  const watcher = { live: false, ready() {}, progress() {} } as unknown as ExecutionWatcher;
  const generation = { parts, resolved: { task } as ResolvedTask, tier: 'tiny', deadline, watcher, journal };
  const ended = await callOnce(
    generation as unknown as CallParts,
    { ...targetOf(config, 'tiny', task), exactCounts },
    prompt,
    'first',
  ).catch((error: Error) => error);
  deadline.clear();
  return { ended, latencies, timings: journal.timings, attempts: journal.attempts };
}

const broken = {
  end: { kind: 'broken', detail: 'the stream ended before the answer did' },
  counted: { content: 0, reasoning: 0 },
  delta: '',
} as unknown as Reading;

test('what it waits for an endpoint that asked for a pause is no latency of the endpoint', async () => {
  const { latencies, timings, attempts } = await called(
    ({ begins }, open) => {
      clock += 5000;
      begins();
      const sink = open();
      clock += 20;
      sink.data(Buffer.from('data: {}\n\n'));
      clock += 300;
      sink.end('clean');
    },
    async () => broken,
  );
  assert.deepEqual(latencies, [20]);
  assert.deepEqual([timings.wait, timings.first_token, timings.stream], [5000, 20, 300]);
  assert.deepEqual([attempts[0]!.first_token_ms, attempts[0]!.duration_ms], [20, 320]);
});

test('an output is cut off at the limit of its tokens, and later where they are counted by another vocabulary', async () => {
  const cutOff = async (exactCounts: boolean) => {
    let most = 0;
    const { attempts } = await called(
      (_, open) => open().end('clean'),
      async (job) => {
        most = job.maxOutputTokens;
        return broken;
      },
      undefined,
      exactCounts,
    );
    return most / attempts[0]!.max_output_tokens;
  };
  assert.deepEqual([await cutOff(true), await cutOff(false)], [1, 1.5]);
});

test('what it waits for an endpoint that is being tried, and is not asked in the end, is no time of the endpoint', async () => {
  const { ended, timings, attempts } = await called(
    () => {
      clock += 5000;
    },
    async () => broken,
    {
      kind: 'failed',
      ended: 'not_called',
      code: 'gateway_unavailable',
      detail: 'is down',
      retryable: false,
      retryAfterMs: 1000,
      unhealthy: false,
    },
  );
  assert.equal((ended as { kind: string }).kind, 'failed');
  assert.deepEqual([timings.wait, timings.first_token, timings.stream], [5000, 0, 0]);
  assert.deepEqual([attempts[0]!.ended, attempts[0]!.duration_ms], ['not_called', 0]);
});

test('one whose answer cannot be read is told of all the same, with what it has used', async () => {
  const { ended, timings, attempts } = await called(
    ({ begins }, open) => {
      begins();
      const sink = open();
      clock += 20;
      sink.data(Buffer.from('data: {}\n\n'));
      clock += 300;
      sink.end('clean');
    },
    async () => {
      throw new Error('out of memory');
    },
  );
  assert.equal((ended as Error).message, 'out of memory');
  assert.deepEqual([timings.first_token, timings.stream], [20, 300]);
  assert.equal(attempts.length, 1);
  const { ended: end, error, tokens } = attempts[0]!;
  assert.deepEqual([end, error], ['aborted', 'the answer could not be read: out of memory']);
  assert.deepEqual([tokens.prompt, tokens.completion], [100, 0]);
});

test.run();
