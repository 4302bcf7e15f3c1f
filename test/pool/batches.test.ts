import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { BatchedJob, BatchedResult, ReadJob } from '../../contracts/threads.js';
import { Batches } from '../../pool/batches.js';

const test = suite('batches');

test('jobs of one turn travel together, and each gets its own result', async () => {
  const sizes: number[] = [];
  const batches = new Batches(
    async (jobs) => {
      sizes.push(jobs.length);
      return jobs.map(({ job }) => ({ value: (job as ReadJob).maxOutputTokens }));
    },
    () => {},
  );
  const results = await Promise.all([1, 2, 3].map((n) => batches.add(aRead(n))));
  assert.deepEqual(results, [1, 2, 3]);
  assert.deepEqual(sizes, [3]);
});

test('a large job travels alone and at once', async () => {
  const sizes: number[] = [];
  const batches = new Batches(
    async (jobs) => {
      sizes.push(jobs.length);
      return jobs.map(() => ({ value: 0 }));
    },
    () => {},
  );
  await Promise.all([batches.add(aRead(1)), batches.add(aRead(2, 100_000)), batches.add(aRead(3))]);
  assert.deepEqual(sizes, [1, 2]);
});

test('when a thread dies only the job that kills it fails, and the others are tried once more', async () => {
  let deaths = 0;
  const run = async (jobs: readonly BatchedJob[]): Promise<BatchedResult[]> => {
    if (jobs.some(({ job }) => (job as ReadJob).maxOutputTokens === 13)) throw new Error('the thread died');
    return jobs.map(({ job }) => ({ value: (job as ReadJob).maxOutputTokens }));
  };
  const batches = new Batches(run, () => {
    deaths++;
  });
  const results = await Promise.allSettled([1, 13, 2].map((n) => batches.add(aRead(n))));
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  assert.equal(deaths, 1);
});

test('a bug in one job does not fail the others', async () => {
  const batches = new Batches(
    async (jobs) =>
      jobs.map(({ job }) => ((job as ReadJob).maxOutputTokens === 2 ? { error: 'bug' } : { value: 1 })),
    () => {},
  );
  const results = await Promise.allSettled([1, 2].map((n) => batches.add(aRead(n))));
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  );
});

test.run();

function aRead(maxOutputTokens: number, bytes = 10): BatchedJob {
  const job: ReadJob = {
    domain: 'code-general',
    protocol: 'chat_completions',
    tokenizer: 'gemma3',
    structured: false,
    maxOutputTokens,
    maxOutputBytes: 1000,
    resume: undefined,
    chunk: new Uint8Array(bytes),
    ended: 'clean',
    port: undefined,
  };
  return { kind: 'read', job };
}
