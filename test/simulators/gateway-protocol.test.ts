import { connect } from 'node:net';
import { request } from 'undici';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { domains, outputs } from '../../bench/simulators/outputs.js';
import { aChat, atGateway, eventsOf, type Json, textsOf } from './at-gateway.js';

test('a streamed chat answers the fibonacci task with the JSON object of the domain', () =>
  atGateway({}, async (gateway) => {
    const answer = await gateway.chat();
    assert.is(answer.status, 200);
    assert.is(answer.headers['content-type'], 'text/event-stream');
    const output = JSON.parse(textsOf(answer).join(''));
    assert.equal(output, outputs['code-general']);
    assert.match(output.content, /^def fibonacci\(/);
  }));

test('the last events are the finish reason, the usage and [DONE]', () =>
  atGateway({}, async (gateway) => {
    const [finish, usage, done] = eventsOf(await gateway.chat()).slice(-3);
    assert.is(finish.choices[0].finish_reason, 'stop');
    assert.is(usage.usage.prompt_tokens, 7);
    assert.is(usage.usage.total_tokens, usage.usage.prompt_tokens + usage.usage.completion_tokens);
    assert.is(done, '[DONE]');
  }));

test('usage is streamed only when asked for', () =>
  atGateway({}, async (gateway) => {
    const answer = await gateway.chat({ stream_options: undefined });
    assert.not.match(answer.text, 'usage');
  }));

test('a chat without stream is one JSON object', () =>
  atGateway({}, async (gateway) => {
    const answer = await gateway.chat({ stream: false, stream_options: undefined });
    const body = JSON.parse(answer.text);
    assert.is(body.object, 'chat.completion');
    assert.equal(JSON.parse(body.choices[0].message.content), outputs['code-general']);
    assert.is(body.choices[0].finish_reason, 'stop');
    assert.ok(body.usage.completion_tokens > 0);
  }));

test('every call has an id of its own', () =>
  atGateway({}, async (gateway) => {
    const ids = new Set<string>();
    for (let call = 0; call < 3; call++) ids.add(eventsOf(await gateway.chat())[0].id);
    await gateway.put({ ttftMs: 1 });
    ids.add(eventsOf(await gateway.chat())[0].id);
    assert.is(ids.size, 4);
  }));

test('the sister protocol answers whole', () =>
  atGateway({}, async (gateway) => {
    const answer = await gateway.post('/generate', {
      model: 'openai/gpt-oss-20b',
      prompt: 'code-embedded: a button',
    });
    const body = JSON.parse(answer.text);
    assert.equal(JSON.parse(body.content), outputs['code-embedded']);
    assert.is(body.provider, 'vllm');
    assert.is(body.finish_reason, 'stop');
    assert.type(body.latency_ms, 'number');
    assert.ok(body.tokens_input > 0 && body.tokens_output > 0);
  }));

test('the sister protocol streams deltas, then an object without content, then [DONE]', () =>
  atGateway({}, async (gateway) => {
    const answer = await gateway.post('/generate', {
      model: 'm',
      prompt: 'Create fibonacci function',
      stream: true,
    });
    const events = eventsOf(answer);
    const [last, done] = events.slice(-2);
    const text = events
      .slice(0, -2)
      .map((event) => event.delta)
      .join('');
    assert.equal(JSON.parse(text), outputs['code-general']);
    assert.is(last.content, '');
    assert.is(last.tokens_output, Math.ceil(text.length / 4));
    assert.is(done, '[DONE]');
  }));

test('max_tokens cuts the text off with finish_reason length', () =>
  atGateway({}, async (gateway) => {
    for (const name of ['max_tokens', 'max_completion_tokens']) {
      const answer = await gateway.chat({ [name]: 10 });
      assert.is(textsOf(answer).join('').length, 40);
      assert.is(eventsOf(answer).at(-3).choices[0].finish_reason, 'length');
    }
  }));

test('a stop sequence ends the text before it', () =>
  atGateway({}, async (gateway) => {
    assert.is(textsOf(await gateway.chat({ stop: 'def' })).join(''), '{"status":"completed","content":"');
  }));

test('the domain is taken from metadata, a header, or the prompt', () =>
  atGateway({}, async (gateway) => {
    const textOf = async (body: object, headers = {}) =>
      JSON.parse(textsOf(await gateway.chat(body, headers)).join(''));
    for (const domain of domains) {
      const messages = [
        { role: 'system', content: `You are the ${domain} worker. Write documentation comments.` },
        { role: 'user', content: 'Not code-vision, please' },
      ];
      assert.equal(await textOf({ metadata: { domain } }), outputs[domain]);
      assert.equal(await textOf({}, { 'x-task-domain': domain }), outputs[domain]);
      assert.equal(await textOf({ messages }), outputs[domain]);
    }
  }));

test('asked for a JSON schema, it keeps of its output what the schema allows', () =>
  atGateway({}, async (gateway) => {
    const schema = {
      type: 'object',
      properties: {
        status: { const: 'completed' },
        content: { type: 'string' },
        confidence: { enum: ['high', 'low'] },
      },
      required: ['status', 'content', 'confidence'],
      additionalProperties: false,
    };
    const answer = await gateway.chat({
      response_format: { type: 'json_schema', json_schema: { name: 'o', schema } },
    });
    assert.equal(JSON.parse(textsOf(answer).join('')), {
      status: 'completed',
      content: outputs['code-general'].content,
      confidence: 'high',
    });
  }));

test('malformed requests get 400 with the OpenAI error object', () =>
  atGateway({}, async (gateway) => {
    const bad: readonly [string, unknown][] = [
      ['/chat/completions', 'not json'],
      ['/chat/completions', '[]'],
      ['/chat/completions', aChat({ model: undefined })],
      ['/chat/completions', aChat({ messages: [] })],
      ['/chat/completions', aChat({ messages: [{ role: 'wizard', content: 'x' }] })],
      ['/chat/completions', aChat({ messages: [{ role: 'user' }] })],
      ['/chat/completions', aChat({ temperature: 3 })],
      ['/chat/completions', aChat({ max_tokens: 0 })],
      ['/chat/completions', aChat({ stream: 'yes' })],
      ['/chat/completions', aChat({ stream: false })],
      ['/chat/completions', aChat({ response_format: { type: 'xml' } })],
      ['/chat/completions', aChat({ response_format: { type: 'json_schema' } })],
      ['/generate', { model: 'm' }],
      ['/generate', { model: 'm', prompt: 'p', temperature: -1 }],
      ['/generate', { model: 'm', prompt: 'p', system_prompt: 7 }],
    ];
    for (const [path, body] of bad) {
      const answer = await gateway.post(path, body);
      const { error } = JSON.parse(answer.text);
      assert.is(answer.status, 400, JSON.stringify(body));
      assert.is(error.type, 'invalid_request_error');
      assert.type(error.message, 'string');
    }
    const stats = await gateway.stats();
    assert.is(stats.badRequests, bad.length);
    assert.is(stats.calls, 0);
  }));

test('the routes are served at the root, under /v1 and under /api/v1', () =>
  atGateway({}, async ({ url }) => {
    const root = url.replace('/api/v1', '');
    for (const base of [root, `${root}/v1`, url]) {
      for (const path of [
        '/health',
        '/models',
        '/models/gemma3:4b',
        '/models/openai/gpt-oss-20b',
        '/models/openai%2Fgpt-oss-20b',
      ]) {
        assert.is((await get(base + path)).status, 200, base + path);
      }
      assert.is((await get(`${base}/models/unknown`)).status, 404);
      assert.is((await get(`${base}/nothing`)).status, 404);
    }
    assert.is((await get(`${root}/health`)).body.status, 'healthy');
    assert.is((await get(`${root}/models`)).body.data.length, 5);
  }));

test('stats count calls by task and model, and keep the last requests', () =>
  atGateway({}, async (gateway) => {
    await gateway.chat({ metadata: { task_id: 'task-1' } });
    await gateway.chat({ model: 'other' }, { 'x-task-id': 'task-1', 'x-model-endpoint': 'vllm_gpu' });
    const stats = await gateway.stats();
    assert.is(stats.calls, 2);
    assert.is(stats.completed, 2);
    assert.equal(stats.byTask, { 'task-1': 2 });
    assert.equal(stats.byModel.other, { calls: 1, open: 0, maxOpen: 1 });
    assert.is(stats.requests.length, 2);
    assert.is(stats.requests[1]!.headers['x-model-endpoint'], 'vllm_gpu');
    assert.is((stats.requests[1]!.body as Json).model, 'other');
    await request(`${gateway.url}/_simulator/stats`, { method: 'DELETE' });
    assert.is((await gateway.stats()).calls, 0);
  }));

test('stats know of the last calls when they were in work, and how they ended', () =>
  atGateway({ ttftMs: 40, script: [{}, { status: 500 }] }, async (gateway) => {
    const before = Date.now();
    await gateway.chat({ metadata: { task_id: 'task-1' } });
    await gateway.chat({ metadata: { task_id: 'task-2' } });
    const { lastCalls } = await gateway.stats();
    assert.equal(
      lastCalls.map(({ number, task, ended }) => [number, task, ended?.how]),
      [
        [0, 'task-1', 'completed'],
        [1, 'task-2', 'failed'],
      ],
    );
    const [first, second] = lastCalls;
    const times = [before, first!.at, first!.ended!.at, second!.at, second!.ended!.at, Date.now()];
    assert.equal(times, times.toSorted());
    await request(`${gateway.url}/_simulator/stats`, { method: 'DELETE' });
    const { lastCalls: none } = await gateway.stats();
    assert.equal(none, []);
  }));

test('only the last 50 requests are kept, oldest first', () =>
  atGateway({}, async (gateway) => {
    for (let call = 0; call < 53; call++) await gateway.chat({ model: `m${call}` });
    const models = (await gateway.stats()).requests.map((seen) => (seen.body as Json).model);
    assert.is(models.length, 50);
    assert.is(models[0], 'm3');
    assert.is(models[49], 'm52');
  }));

test('stats know how many calls were open at once', () =>
  atGateway({ ttftMs: 60 }, async (gateway) => {
    const calls = [gateway.chat(), gateway.chat(), gateway.chat({ model: 'other' })];
    // Not sooner: a status answer must come while the three are open.
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.is((await gateway.stats()).open, 3);
    await Promise.all(calls);
    const stats = await gateway.stats();
    assert.is(stats.open, 0);
    assert.is(stats.maxOpen, 3);
    assert.is(stats.byModel['gemma3:12b']!.maxOpen, 2);
    assert.ok(stats.connections.opened >= 3);
  }));

test('requests may come chunked, in pieces, and several in one packet', () =>
  atGateway({ chunks: 1 }, async ({ url }) => {
    const { port } = new URL(url);
    const socket = connect(Number(port), '127.0.0.1');
    const body = JSON.stringify({ model: 'm', prompt: 'Grüße' });
    const bytes = Buffer.from(body);
    const sized = `POST /generate HTTP/1.1\r\nContent-Length: ${bytes.length}\r\n\r\n${body}`;
    socket.write(sized + sized);
    socket.write('POST /generate HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n');
    for (const byte of bytes) socket.write(Buffer.from([0x31, 13, 10, byte, 13, 10]));
    socket.write('0\r\n\r\nGET /health HTTP/1.1\r\nConnection: close\r\n\r\n');
    let received = '';
    for await (const piece of socket) received += piece;
    assert.is(received.match(/HTTP\/1\.1 200 OK/g)?.length, 4);
    assert.is(received.match(/"id":"gen-/g)?.length, 3);
  }));

async function get(url: string): Promise<{ status: number; body: Json }> {
  const response = await request(url);
  return { status: response.statusCode, body: await response.body.json() };
}

test.run();
