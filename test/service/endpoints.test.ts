import assert from 'node:assert/strict';
import { request } from 'undici';
import { suite } from 'uvu';
import { aTask, atService, eventsOf, type ServiceUnderTest, sleep, until } from './at-service.js';

const test = suite('endpoints that fail');
let service: ServiceUnderTest;

const yaml = `
tier_models:
  tiny: {model: gemma3:4b, endpoint: general, fallback: [small, large]}
  small: {model: gemma3:12b, endpoint: general_2, fallback: [tiny]}
  large: {model: openai/gpt-oss-20b, endpoint: big}
workers:
  code-general: {default_tier: tiny}
gateway: {max_attempts: 2, backoff_base_ms: 1, backoff_max_ms: 2, breaker_failures: 4, breaker_open_ms: 400}
queues: {tiny: {concurrency: 4, timeout: 20}, small: {concurrency: 4, timeout: 20, max_waiting: 0}, large: {concurrency: 4, timeout: 20}}
`;

test.before.each(async () => {
  service = await atService(yaml);
});
test.after.each(() => service.close());

/** What is known of the endpoint of the tier `large`. */
const big = async () => (await service.ask('GET', '/health/detailed')).body.endpoints.big;

const attemptsOf = async (taskId: string) =>
  (await service.ask('GET', `/tasks/${taskId}/receipt`)).body.attempts.map(
    ({ tier, kind, ended }: { tier: string; kind: string; ended: string }) => [tier, kind, ended],
  );

test('a tier whose endpoint cannot be had falls back, and the outcome names who answered', async () => {
  await service.knobs({ perModel: { 'gemma3:4b': { status: 503 } } });
  const task = aTask({ tier: 'tiny' });
  const { status, body } = await service.execute(task);
  assert.deepEqual([status, body.tier, body.model], [200, 'small', 'gemma3:12b']);
  assert.deepEqual(await attemptsOf(task.task_id), [
    ['tiny', 'first', 'rejected'],
    ['tiny', 'retry', 'rejected'],
    ['small', 'fallback', 'finished'],
  ]);
});

test('a chain goes on to its end, and no tier is tried twice', async () => {
  await service.knobs({ perModel: { 'gemma3:4b': { status: 503 }, 'gemma3:12b': { status: 503 } } });
  assert.equal((await service.execute(aTask({ tier: 'tiny' }))).body.tier, 'large');
  const { status, body } = await service.execute(aTask({ tier: 'small' }));
  assert.deepEqual([status, body.code, body.tier], [503, 'gateway_unavailable', 'tiny']);
});

test('a tier that stands in for another one and has no room is passed over', async () => {
  await service.knobs({
    perModel: { 'gemma3:4b': { status: 503 }, 'gemma3:12b': { hangBeforeHeaders: true } },
  });
  const holding = Array.from({ length: 4 }, () => aTask({ tier: 'small' }));
  const held = holding.map((task) => service.execute(task));
  await until(async () => (await service.stats()).open === 4, 'all slots of small taken');
  const { status, body } = await service.execute(aTask({ tier: 'tiny' }));
  assert.deepEqual([status, body.tier], [200, 'large']);
  const own = await service.execute(aTask({ tier: 'small' }));
  assert.deepEqual([own.status, own.body.code], [429, 'tier_saturated'], 'its own tasks come again');
  for (const { task_id } of holding) await service.ask('DELETE', `/tasks/${task_id}`);
  await Promise.all(held);
});

test('what is not the fault of the endpoint does not fall back, and opens no circuit', async () => {
  await service.knobs({ perModel: { 'gemma3:4b': { status: 400 } } });
  for (let i = 0; i < 6; i++) {
    const { status, body } = await service.execute(aTask({ tier: 'tiny' }));
    assert.deepEqual([status, body.code, body.attempts], [502, 'gateway_error', 1]);
  }
});

test('an endpoint that is down is left alone, and tried again after a while', async () => {
  const breaker = async () => (await big()).breaker as string;
  await service.knobs({ perModel: { 'openai/gpt-oss-20b': { status: 500 } } });
  const begun = Date.now();
  assert.ok(Date.parse((await big()).since) <= begun);
  await sleep(5);
  for (let i = 0; i < 2; i++) await service.execute(aTask({ tier: 'large' }));
  assert.equal(await breaker(), 'open');
  assert.ok(Date.parse((await big()).since) > begun, 'since when it is open');
  const calls = async () => (await service.stats()).calls;
  const before = await calls();
  const refused = await service.execute(aTask({ tier: 'large' }));
  assert.deepEqual([refused.status, refused.body.code], [503, 'gateway_unavailable']);
  assert.match(refused.body.detail, /big is down/);
  assert.equal(refused.headers['retry-after'], '1');
  assert.equal(await calls(), before);
  // The others do not notice.
  assert.equal((await service.execute(aTask({ tier: 'tiny' }))).body.tier, 'tiny');
  await service.knobs({});
  await until(async () => (await service.execute(aTask({ tier: 'large' }))).status === 200, 'a probe');
  assert.equal(await breaker(), 'closed');
});

test('an open circuit falls back at once', async () => {
  await service.knobs({ perModel: { 'gemma3:4b': { status: 500 } } });
  for (let i = 0; i < 2; i++) await service.execute(aTask({ tier: 'tiny' }));
  const task = aTask({ tier: 'tiny' });
  assert.equal((await service.execute(task)).body.tier, 'small');
  assert.deepEqual(await attemptsOf(task.task_id), [
    ['tiny', 'first', 'not_called'],
    ['small', 'fallback', 'finished'],
  ]);
});

test('a call that was not made is no attempt of the outcome, and has a label of its own in the metrics', async () => {
  await service.knobs({ perModel: { 'gemma3:4b': { status: 500 } } });
  for (let i = 0; i < 2; i++) await service.execute(aTask({ tier: 'tiny' }));
  const { body } = await service.execute(aTask({ tier: 'tiny' }));
  assert.deepEqual([body.tier, body.attempts], ['small', 1]);
  const { text } = await service.ask('GET', '/metrics');
  assert.match(text, /^worker_service_attempts_total\{tier="tiny",kind="first",ended="not_called"\} 1$/m);
});

test('while one call tries an endpoint, others fall back at once', async () => {
  const probe = await aProbe('tiny', 'gemma3:4b');
  const task = aTask({ tier: 'tiny' });
  const { body } = await service.execute(task);
  assert.deepEqual([body.tier, body.attempts], ['small', 1]);
  assert.deepEqual(await attemptsOf(task.task_id), [
    ['tiny', 'first', 'not_called'],
    ['small', 'fallback', 'finished'],
  ]);
  await probe.cancel();
});

test('who waits for the call that tries an endpoint can be cancelled', async () => {
  const probe = await aProbe('large', 'openai/gpt-oss-20b');
  const task = aTask({ tier: 'large' });
  const waiting = await begun(task);
  await service.ask('DELETE', `/tasks/${task.task_id}`);
  const { data } = await waiting.last;
  assert.deepEqual([data.code, data.attempts], ['cancelled', 0]);
  assert.deepEqual(await attemptsOf(task.task_id), [['large', 'first', 'not_called']]);
  assert.equal((await service.stats()).open, 1);
  await probe.cancel();
});

test('who waited for a call that came to nothing is the next to try', async () => {
  const probe = await aProbe('large', 'openai/gpt-oss-20b');
  await service.knobs({});
  const task = aTask({ tier: 'large' });
  const waiting = await begun(task);
  assert.equal((await service.stats()).byTask[task.task_id], undefined);
  await probe.cancel();
  const { event, data } = await waiting.last;
  assert.deepEqual([event, data.attempts], ['completed', 1]);
});

test('a call that was cancelled while it tried an endpoint has shown nothing', async () => {
  const probe = await aProbe('large', 'openai/gpt-oss-20b');
  await probe.cancel();
  await service.knobs({ perModel: { 'openai/gpt-oss-20b': { status: 500 } } });
  const task = aTask({ tier: 'large' });
  await service.execute(task);
  assert.deepEqual(await attemptsOf(task.task_id), [
    ['large', 'first', 'rejected'],
    ['large', 'retry', 'not_called'],
  ]);
});

test('a call of before that is cancelled meanwhile says nothing of an endpoint that is being tried', async () => {
  await service.knobs({ perModel: { 'openai/gpt-oss-20b': { hangBeforeHeaders: true } } });
  const early = aTask({ tier: 'large' });
  const hanging = service.execute(early);
  await until(async () => (await service.stats()).open === 1, 'the call of before');
  const probe = await aProbe('large', 'openai/gpt-oss-20b');
  await service.ask('DELETE', `/tasks/${early.task_id}`);
  await hanging;
  assert.equal((await big()).breaker, 'half_open');
  await probe.cancel();
});

test('a task that is cancelled while its endpoint pauses has called nobody', async () => {
  await service.knobs({ script: [{ status: 429, retryAfterSeconds: 15 }] });
  const tasks = [aTask({ tier: 'large' }), aTask({ tier: 'large' })] as const;
  const first = service.execute(tasks[0]);
  await until(async () => (await big()).paused_until !== undefined, 'the pause');
  const second = await begun(tasks[1]);
  for (const { task_id } of tasks) await service.ask('DELETE', `/tasks/${task_id}`);
  assert.equal((await first).body.attempts, 1);
  assert.equal((await second.last).data.attempts, 0);
  assert.deepEqual(await attemptsOf(tasks[1].task_id), [['large', 'first', 'not_called']]);
});

test('Retry-After pauses the endpoint for every task, and no other endpoint', async () => {
  await service.knobs({ script: [{ status: 429, retryAfterSeconds: 1 }] });
  const first = service.execute(aTask({ tier: 'large' }));
  await until(async () => (await service.stats()).calls === 1, 'the call that is refused');
  await until(async () => (await big()).paused_until !== undefined, 'the pause');
  const second = service.execute(aTask({ tier: 'large' }));
  const other = await service.execute(aTask({ tier: 'tiny' }));
  assert.equal(other.status, 200);
  assert.equal((await service.stats()).calls, 2);
  assert.deepEqual([(await first).status, (await second).status], [200, 200]);
});

test('who cannot wait for the end of a pause is told so at once, with how long it takes', async () => {
  await service.knobs({ script: [{ status: 429, retryAfterSeconds: 55 }] });
  for (let i = 0; i < 3; i++) {
    const { status, body, headers } = await service.execute(aTask({ tier: 'large' }));
    assert.deepEqual([status, body.code], [503, 'gateway_unavailable']);
    if (i > 0) assert.match(body.detail, /the endpoint big asked for a pause, and was not called/);
    const seconds = Number(headers['retry-after']);
    assert.ok(seconds > 20 && seconds <= 55, `${seconds} s`);
  }
  assert.equal((await service.stats()).calls, 1);
});

test('a tier with a fallback does not wait for the end of a pause', async () => {
  await service.knobs({ perModel: { 'gemma3:4b': { status: 429, retryAfterSeconds: 55 } } });
  for (const first of ['rejected', 'not_called']) {
    const task = aTask({ tier: 'tiny' });
    assert.equal((await service.execute(task)).body.tier, 'small');
    const attempts = await attemptsOf(task.task_id);
    assert.deepEqual(
      [attempts[0], attempts.at(-1)],
      [
        ['tiny', 'first', first],
        ['small', 'fallback', 'finished'],
      ],
    );
  }
});

test('a tier whose endpoint hangs does not hold up the others', async () => {
  await service.knobs({ perModel: { 'openai/gpt-oss-20b': { hangBeforeHeaders: true } } });
  const hanging = Array.from({ length: 6 }, () => aTask({ tier: 'large' }));
  const stuck = hanging.map((task) => service.execute(task));
  await until(async () => (await service.stats()).open === 4, 'all slots of large taken');
  const answers = await Promise.all(
    Array.from({ length: 12 }, () => service.execute(aTask({ tier: 'tiny' }))),
  );
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  for (const { task_id } of hanging) await service.ask('DELETE', `/tasks/${task_id}`);
  await Promise.all(stuck);
});

test('a tier whose endpoint hangs on all its connections leaves the others theirs', async () => {
  await service.close();
  service = await atService(yaml.replace('gateway: {', 'gateway: {connections: 3, '));
  await service.knobs({ perModel: { 'openai/gpt-oss-20b': { hangBeforeHeaders: true } } });
  const hanging = Array.from({ length: 4 }, () => aTask({ tier: 'large' }));
  const stuck = hanging.map((task) => service.execute(task));
  await until(async () => (await service.stats()).open === 3, 'all connections of large taken');
  assert.equal((await service.execute(aTask({ tier: 'tiny' }))).status, 200);
  for (const { task_id } of hanging) await service.ask('DELETE', `/tasks/${task_id}`);
  await Promise.all(stuck);
});

test('the parts of the time add up to the whole', async () => {
  await service.ragKnobs({ delayMs: 60 });
  await service.knobs({
    script: [{ status: 429, retryAfterSeconds: 1 }, { output: '{"content": 5}', ttftMs: 50 }, { ttftMs: 50 }],
  });
  const { body } = await service.execute(aTask({ tier: 'large', context: undefined }));
  assert.equal(body.attempts, 3);
  const { wait, context, first_token } = body.timings;
  assert.ok(wait > 900 && context > 50 && first_token > 90, JSON.stringify(body.timings));
  const parts: number[] = Object.values(body.timings);
  const sum = parts.reduce((total, ms) => total + ms, 0);
  assert.ok(Math.abs(sum - body.execution_time_ms) < 0.01, JSON.stringify(body.timings));
  const { assemble, validate, other } = body.timings;
  assert.ok(Math.abs(assemble + validate + other - body.overhead_ms) < 0.01);
  assert.ok(assemble > 0 && validate > 0);
});

test('the first answer says in Server-Timing what the outcome cannot know: how long it took to record it', async () => {
  const task = aTask({ tier: 'tiny' });
  const { body, headers } = await service.execute(task);
  const said = timingOf(headers['server-timing']);
  const { record, total, ...stages } = said;
  assert.deepEqual(stages, body.timings);
  assert.ok(record! > 0);
  assert.ok(Math.abs(body.execution_time_ms + record! - total!) < 0.01, JSON.stringify(said));
  const again = await service.execute(task);
  assert.deepEqual(again.body, body);
  assert.equal(again.headers['server-timing'], undefined);

  await service.knobs({ script: [{ output: '{"content": 5}' }, { output: '{"content": 5}' }] });
  const failed = await service.execute(aTask({ tier: 'tiny' }));
  assert.equal(failed.body.code, 'output_invalid');
  const { record: failedRecord, total: _, ...failedStages } = timingOf(failed.headers['server-timing']);
  assert.ok(failedRecord! > 0);
  assert.deepEqual(failedStages, failed.body.timings);
  assert.ok(failed.body.overhead_ms > 0);
});

test.run();

/** Milliseconds by name. */
function timingOf(header: string | string[] | undefined): Record<string, number> {
  const metrics = [...String(header).matchAll(/(\w+);dur=([\d.]+)(?:, |$)/g)];
  return Object.fromEntries(metrics.map(([, name, ms]) => [name, Number(ms)]));
}

/** Sends a task and waits until it turns to its endpoint, which `started` tells; then there is its last event. */
async function begun(task: object): Promise<{ last: Promise<ReturnType<typeof eventsOf>[number]> }> {
  const headers = { 'content-type': 'application/json', accept: 'text/event-stream' };
  const body = JSON.stringify(task);
  const answer = await request(`${service.url}/execute`, { method: 'POST', headers, body });
  let text = '';
  let started = () => {};
  const hasStarted = new Promise<void>((resolve) => {
    started = resolve;
  });
  const all = (async () => {
    for await (const chunk of answer.body) {
      text += String(chunk);
      if (text.includes('event: started')) started();
    }
    return eventsOf(text).at(-1)!;
  })();
  await hasStarted;
  return { last: all };
}

/** Brings the endpoint of a tier down, and then has one call hang that tries it. */
async function aProbe(tier: string, model: string): Promise<{ cancel(): Promise<void> }> {
  const { open } = await service.stats();
  await service.knobs({ perModel: { [model]: { status: 500 } } });
  for (let i = 0; i < 2; i++) await service.execute(aTask({ tier }));
  await service.knobs({ perModel: { [model]: { hangBeforeHeaders: true } } });
  for (;;) {
    const task = aTask({ tier });
    let ended = false;
    const answer = service.execute(task).then(() => {
      ended = true;
    });
    await until(async () => ended || (await service.stats()).open > open, 'a call, or its refusal');
    if (ended) continue;
    const cancel = async () => {
      await service.ask('DELETE', `/tasks/${task.task_id}`);
      await answer;
    };
    return { cancel };
  }
}
