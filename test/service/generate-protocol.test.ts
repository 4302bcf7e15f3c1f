import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { aTask, atService, deltasOf, eventsOf, type ServiceUnderTest, until } from './at-service.js';

const events = { accept: 'text/event-stream' };

for (const stream of [true, false]) {
  const test = suite(`the protocol generate, ${stream ? 'streamed' : 'whole'}`);
  let service: ServiceUnderTest;

  test.before(async () => {
    service = await atService(`
gateway: {backoff_base_ms: 5, backoff_max_ms: 20}
endpoints:
  ollama_gpu_general: {protocol: generate, stream: ${stream}}
  vllm_gpu: {protocol: generate, stream: ${stream}, response_format: json_schema}`);
  });
  test.before.each(() => service.knobs({}));
  test.after(() => service.close());

  test('a task is completed, and the gateway is asked in its own words', async () => {
    const task = aTask({ tier: 'small', max_output_tokens: 2000 });
    const { status, body, text } = await service.execute(task);
    assert.equal(status, 200, text);
    assert.match(body.output.content, /def fibonacci/);
    assert.deepEqual([body.attempts, body.finish_reason, body.model], [1, 'stop', 'gemma3:12b']);
    const asked = (await service.stats()).requests.at(-1);
    assert.match(asked.path, /\/generate$/);
    assert.equal(asked.headers['x-model-endpoint'], 'ollama_gpu_general');
    const { prompt, system_prompt, ...rest } = asked.body;
    assert.match(prompt, /Create fibonacci function/);
    assert.match(system_prompt, /\S/);
    assert.deepEqual(rest, {
      model: 'gemma3:12b',
      temperature: 0.2,
      max_tokens: 2000,
      metadata: { task_id: task.task_id },
      ...(stream && { stream: true }),
    });
  });

  test("the gateway's own token counts are taken; without them ours are, and they are close", async () => {
    const reported = (await service.execute(aTask({ tier: 'small' }))).body.tokens;
    assert.equal(reported.counted_by, 'gateway');
    await service.knobs({ omitUsage: true });
    const counted = (await service.execute(aTask({ tier: 'small' }))).body.tokens;
    assert.deepEqual([counted.counted_by, counted.method], ['tokenizer', 'exact']);
    assert.ok(counted.completion > 50 && counted.prompt > 500, JSON.stringify(counted));
  });

  test('free text is an answer also where the endpoint is said to give JSON: it was not asked for it', async () => {
    await service.knobs({
      output: 'Here it is:\n```python mean.py\ndef mean(v):\n    return sum(v) / len(v)\n```\n',
    });
    const { status, body, text } = await service.execute(aTask({ tier: 'large' }));
    assert.deepEqual([status, body.attempts], [200, 1], text);
    assert.match(body.output.content, /^def mean/);
  });

  test('an error is retried', async () => {
    await service.knobs({ script: [{ status: 500 }] });
    const { status, body } = await service.execute(aTask({ tier: 'small' }));
    assert.deepEqual([status, body.attempts], [200, 2]);
  });

  test('an error in the answer is retried', async () => {
    await service.knobs({ script: [{ errorInStreamAfterChunks: 2 }] });
    const { status, body } = await service.execute(aTask({ tier: 'small' }));
    assert.deepEqual([status, body.attempts], [200, 2]);
  });

  test('an answer that is cut is never taken for the whole', async () => {
    for (const cutKind of ['rst', 'fin', 'clean_end', 'broken_chunk'] as const) {
      await service.knobs({ cutAfterChunks: 3, cutKind });
      const { status, body } = await service.execute(aTask({ tier: 'small' }));
      assert.deepEqual([status, body.code, body.attempts], [502, 'gateway_error', 3], cutKind);
    }
  });

  test('an output cut off by the limit is asked for again with a higher one', async () => {
    await service.knobs({ script: [{ invalidOutput: 'truncated_json', finishReason: 'length' }] });
    const task = aTask({ tier: 'small' });
    assert.equal((await service.execute(task)).status, 200);
    const { attempts } = (await service.ask('GET', `/tasks/${task.task_id}/receipt`)).body;
    assert.ok(attempts[1].max_output_tokens > attempts[0].max_output_tokens);
  });

  test('reasoning is no part of the output', async () => {
    await service.knobs({ reasoningTokens: 50, omitUsage: true });
    const task = aTask({ tier: 'small' });
    const { body } = await service.execute(task);
    assert.match(body.output.content, /def fibonacci/);
    const { attempts } = (await service.ask('GET', `/tasks/${task.task_id}/receipt`)).body;
    // The protocol has no place for the reasoning of a whole answer.
    assert.equal(attempts[0].reasoning_tokens > 0, stream);
  });

  test('DELETE closes the call', async () => {
    await service.knobs({ tokensPerSecond: 20 });
    const task = aTask({ tier: 'small' });
    const running = service.execute(task);
    await until(async () => (await service.stats()).open === 1, 'the call runs');
    assert.equal((await service.ask('DELETE', `/tasks/${task.task_id}`)).status, 202);
    assert.equal((await running).body.code, 'cancelled');
    await until(async () => (await service.stats()).open === 0, 'the call is closed');
  });

  test('deltas joined are the content', async () => {
    await service.knobs({ tokensPerSecond: 2000 });
    const all = eventsOf((await service.execute(aTask({ tier: 'small' }), events)).text);
    assert.equal(deltasOf(all), all.at(-1)!.data.output.content);
  });

  test.run();
}
