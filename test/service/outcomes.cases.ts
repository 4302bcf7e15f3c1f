import assert from 'node:assert/strict';
import type { Test } from 'uvu';
import { compile } from '../../contracts/validator.js';
import { domains } from '../../domains/registry.js';
import { aTask, type ServiceUnderTest } from './at-service.js';

/** One of the ways into the service. */
export interface Door {
  readonly under: ServiceUnderTest;
  /** Hands a task in and waits for its end. A failure has at least a code and a detail, as its door tells it. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into outcomes of every shape
  run(task: { task_id: string } & Record<string, unknown>): Promise<any>;
}

/** What both doors need: failures end at once, and the tier `tiny` has little time. */
export const outcomesYaml = `gateway: {max_attempts: 1}
queues: {tiny: {concurrency: 4, timeout: 2}, small: {concurrency: 8, timeout: 60}}`;

/** How tasks end, whichever door they came in by. */
export function addOutcomeCases(test: Test<Record<string, unknown>>, doorOf: () => Door): void {
  const calls = async () => (await doorOf().under.stats()).calls;

  for (const [name, { output }] of domains) {
    test(`${name} completes with an output of its own schema`, async () => {
      const { run } = doorOf();
      const task = aTask({ domain: name, tier: 'small' });
      const outcome = await run(task);
      assert.deepEqual([outcome.status, outcome.task_id], ['completed', task.task_id]);
      assert.deepEqual(compile(output).violations(outcome.output), []);
      assert.ok(outcome.tokens_used > 0);
    });
  }

  test('a refusal is an outcome, with reason and recommendation', async () => {
    const { under, run } = doorOf();
    await under.knobs({
      output:
        '{"status":"refused","reason":"out_of_domain","recommendation":"needs_domain_specialist","message":"no"}',
    });
    const { code, detail, reason, recommendation, artifact_id } = await run(aTask());
    assert.deepEqual(
      [code, detail, reason, recommendation, artifact_id],
      ['refused', 'no', 'out_of_domain', 'needs_domain_specialist', undefined],
    );
  });

  test('a question back is an outcome, with the questions', async () => {
    const { under, run } = doorOf();
    await under.knobs({ output: '{"status":"needs_clarification","questions":["Which language?"]}' });
    const { code, questions } = await run(aTask());
    assert.deepEqual([code, questions], ['needs_clarification', ['Which language?']]);
  });

  test('an output that stays invalid after its repair has failed', async () => {
    const { under, run } = doorOf();
    await under.knobs({ output: '{"content": "x", "summary": 5}' });
    const before = await calls();
    const { code, detail } = await run(aTask({ domain: 'ui-design', tier: 'small' }));
    assert.equal(code, 'output_invalid');
    assert.match(detail, /\S/);
    assert.equal((await calls()) - before, 2);
  });

  test('a gateway that answers wrongly is a gateway_error', async () => {
    const { under, run } = doorOf();
    await under.knobs({ cutAfterChunks: 3, cutKind: 'fin' });
    assert.equal((await run(aTask())).code, 'gateway_error');
  });

  test('a gateway that is overloaded is gateway_unavailable', async () => {
    const { under, run } = doorOf();
    await under.knobs({ status: 503 });
    assert.equal((await run(aTask())).code, 'gateway_unavailable');
  });

  test('a model that takes longer than the tier has time is a deadline_exceeded', async () => {
    const { under, run } = doorOf();
    await under.knobs({ ttftMs: 600_000 });
    assert.equal((await run(aTask({ tier: 'tiny' }))).code, 'deadline_exceeded');
  });

  test('the same task again gives the same outcome, and does not call the model', async () => {
    const { under, run } = doorOf();
    const task = aTask();
    const first = await run(task);
    const before = await calls();
    assert.deepEqual(await run(task), first);
    await under.knobs({ output: '{"status":"refused","reason":"complexity","message":"too much"}' });
    const refused = aTask();
    const failure = await run(refused);
    await under.knobs({});
    assert.deepEqual(await run(refused), failure);
    assert.equal((await calls()) - before, 1);
  });
}
