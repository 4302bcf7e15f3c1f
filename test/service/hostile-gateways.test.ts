import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { suite } from 'uvu';
import { aTask, atService, eventsOf, type ServiceUnderTest, sleep, until } from './at-service.js';

const test = suite('gateways that nobody has seen before');
let service: ServiceUnderTest;
let play: (res: ServerResponse, req: IncomingMessage) => void | Promise<void>;
let calls = 0;
const bodies: string[] = [];
const gateway = createServer((req, res) => {
  calls++;
  let body = '';
  req.on('data', (chunk: Buffer) => {
    body += chunk.toString();
  });
  req.on('end', () => {
    bodies.push(body);
    void play(res, req);
  });
});

test.before(async () => {
  await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve));
  const { port } = gateway.address() as AddressInfo;
  service = await atService(
    `
gateway: {backoff_base_ms: 5, backoff_max_ms: 20, idle_timeout_ms: 1000, max_attempts: 2, max_stream_bytes: 8000000, pause_max_ms: 200}
output: {max_bytes: 6000000}
models: {openai/gpt-oss-20b: {context_window: 20000000, max_output_tokens: 10000000}}`,
    { MODEL_GATEWAY_URL: `http://127.0.0.1:${port}/v1` },
  );
});
test.before.each(() => {
  calls = 0;
});
test.after(async () => {
  await service.close();
  gateway.closeAllConnections();
  gateway.close();
});

const content = 'def f():\n    return "é😀"\n';
const output = JSON.stringify({ content, language: 'python' });
const halves = [output.slice(0, 12), output.slice(12)] as const;
const usage = { prompt_tokens: 11, completion_tokens: 22, total_tokens: 33 };

/** What is understood all the same. */
const understood: [name: string, play: typeof play][] = [
  ['JSON where a stream was asked for', (res) => document(res, whole(output))],
  [
    'JSON with a charset and a BOM',
    (res) => sent(res, 'application/json; charset=utf-8', `\ufeff${JSON.stringify(whole(output))}`),
  ],
  ['a stream with a BOM', (res) => streamed(res, `\ufeff${frames()}`)],
  ['data: without a space', (res) => streamed(res, frames().replaceAll('data: ', 'data:'))],
  ['lines that end in CR', (res) => streamed(res, frames().replaceAll('\n', '\r'))],
  ['lines that end in CRLF', (res) => streamed(res, frames().replaceAll('\n', '\r\n'))],
  ['data in two lines', (res) => streamed(res, frames().replaceAll('"choices":', '\ndata: "choices":'))],
  [
    'events with names, ids and retry',
    (res) => streamed(res, frames().replaceAll('data: ', 'id: 7\nretry: 10\nevent: message\ndata: ')),
  ],
  [
    'content as a list of parts',
    (res) =>
      streamed(res, frames([[{ type: 'text', text: halves[0] }], [{ type: 'text', text: halves[1] }]])),
  ],
  ['a whole message as a list of parts', (res) => document(res, whole([{ type: 'text', text: output }]))],
  ['content null', (res) => streamed(res, frames([null, halves[0], null, halves[1], null]))],
  ['a delta null', (res) => streamed(res, `data: {"choices":[{"index":0,"delta":null}]}\n\n${frames()}`)],
  [
    'no delta, no choices, choices null',
    (res) => streamed(res, `data: {"choices":[{}]}\n\ndata: {}\n\ndata: {"choices":null}\n\n${frames()}`),
  ],
  [
    'tool calls beside the content',
    (res) =>
      streamed(
        res,
        `data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"x","arguments":"{"}}]}}]}\n\n${frames()}`,
      ),
  ],
  [
    'a second choice',
    (res) =>
      streamed(
        res,
        frames().replaceAll('data: {"choices":[', 'data: {"choices":[{"index":1,"delta":{"content":"no"}},'),
      ),
  ],
  [
    'data after [DONE]',
    (res) => streamed(res, `${frames()}data: {"choices":[{"index":0,"delta":{"content":"more"}}]}\n\n`),
  ],
  ['[DONE] without a blank line after it', (res) => streamed(res, frames().trimEnd())],
  ['[DONE], and a connection that stays open', (res) => void begin(res).write(frames())],
  [
    'a connection closed without [DONE] after a finish reason',
    (res) => streamed(res, frames().replace('data: [DONE]\n\n', '')),
  ],
  [
    'a body without length or chunks, ended by the connection',
    (res) => void plain(res, 'text/event-stream', frames()),
  ],
  [
    'bytes one by one',
    async (res) => {
      begin(res);
      for (const byte of Buffer.from(frames())) if (!res.write(Uint8Array.of(byte))) await sleep(1);
      res.end();
    },
  ],
  ['no content type', (res) => void res.end(frames())],
  ['no content type, and JSON', (res) => void res.end(JSON.stringify(whole(output)))],
  ['text/plain, and JSON', (res) => sent(res, 'text/plain', JSON.stringify(whole(output)))],
  [
    '103 before the answer',
    (res) => {
      res.writeEarlyHints({ link: '</x>; rel=preload' });
      streamed(res, frames());
    },
  ],
  [
    'a compressed stream',
    (res) =>
      void res
        .writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' })
        .end(gzipSync(frames())),
  ],
  [
    'compressed JSON',
    (res) =>
      void res
        .writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
        .end(gzipSync(JSON.stringify(whole(output)))),
  ],
  [
    'a redirect that keeps the method',
    (res, req) =>
      req.url === '/elsewhere'
        ? streamed(res, frames())
        : void res.writeHead(307, { location: '/elsewhere' }).end(),
  ],
  [
    'a redirect that names two places',
    (res, req) =>
      req.url === '/elsewhere'
        ? streamed(res, frames())
        : void res.setHeader('location', ['/elsewhere', '/nowhere']).writeHead(307).end(),
  ],
  ['201 Created', (res) => void res.writeHead(201, { 'content-type': 'text/event-stream' }).end(frames())],
  [
    'error: null in every event',
    (res) => streamed(res, frames().replaceAll('data: {', 'data: {"error":null,')),
  ],
  ['error: "" in every event', (res) => streamed(res, frames().replaceAll('data: {', 'data: {"error":"",'))],
  [
    'events without data, and some of another kind that are no JSON',
    (res) => streamed(res, `data:\n\nevent: ping\ndata: ping\n\n${frames()}`),
  ],
  [
    'usage null, then twice',
    (res) =>
      streamed(
        res,
        frames()
          .replaceAll('data: {', 'data: {"usage":null,')
          .replace(
            'data: [DONE]',
            `data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\ndata: {"choices":[],"usage":${JSON.stringify(usage)}}\n\ndata: [DONE]`,
          ),
      ),
  ],
  [
    'a long silence of comments and blank lines',
    (res) => streamed(res, `${': keep-alive\n\n'.repeat(1000)}${'\n'.repeat(10_000)}${frames()}`),
  ],
  [
    'a finish reason twice',
    (res) =>
      streamed(
        res,
        frames().replace(
          'data: [DONE]',
          'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]',
        ),
      ),
  ],
  [
    'Azure: a first message about the prompt, without a choice',
    (res) =>
      streamed(res, `data: {"choices":[],"prompt_filter_results":[{"prompt_index":0}]}\n\n${frames()}`),
  ],
  ['OpenRouter: comments before anything', (res) => streamed(res, `: OPENROUTER PROCESSING\n\n${frames()}`)],
  [
    'Mistral: thoughts among the parts of the content',
    (res) =>
      streamed(
        res,
        frames([
          [{ type: 'thinking', thinking: [{ type: 'text', text: '{"content":"no"}' }] }],
          [{ type: 'text', text: halves[0] }],
          [
            { type: 'reasoning', text: 'no' },
            { type: 'text', text: halves[1] },
          ],
        ]),
      ),
  ],
  ['parts that are texts', (res) => streamed(res, frames([[halves[0]], [halves[1]]]))],
  ['content that is one part', (res) => streamed(res, frames([{ type: 'text', text: output }]))],
  ['[DONE] in quotes', (res) => streamed(res, frames().replace('[DONE]', '"[DONE]"'))],
  ['events without blank lines between them', (res) => streamed(res, frames().replaceAll('\n\n', '\n'))],
  [
    'events that are framed twice',
    (res) => streamed(res, frames().replaceAll(/^data: (.*)\n\n/gm, 'data: data: $1\ndata: \ndata: \n\n')),
  ],
  ['no end but that of the body', (res) => streamed(res, withoutEnd(frames()))],
  [
    'a reset after the finish reason',
    async (res) => {
      begin(res).write(frames().replace('data: [DONE]\n\n', ''));
      await sleep(50);
      (res.socket as Socket).resetAndDestroy();
    },
  ],
  [
    'silence after the finish reason',
    (res) => void begin(res).write(frames().replace('data: [DONE]\n\n', '')),
  ],
  [
    'DashScope: a finish reason that is the word null',
    (res) => streamed(res, frames().replaceAll('"finish_reason":null', '"finish_reason":"null"')),
  ],
  ['a word after the finish reason', (res) => streamed(res, frames().replace('[DONE]', 'bye'))],
  [
    'the whole answer once more in the last message',
    (res) =>
      streamed(
        res,
        frames([...content]).replace(
          'data: [DONE]',
          `data: ${JSON.stringify(whole(content))}\n\ndata: [DONE]`,
        ),
      ),
  ],
  ['an index that is a text', (res) => streamed(res, frames().replaceAll('"index":0', '"index":"0"'))],
  [
    'vLLM: the answer in the reasoning, and no content',
    (res) =>
      streamed(
        res,
        `data: ${JSON.stringify({ choices: [{ delta: { content: null, reasoning_content: output } }] })}\n\n${frames([null])}`,
      ),
  ],
  [
    'brotli',
    (res) =>
      void res
        .writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'br' })
        .end(brotliCompressSync(frames())),
  ],
  [
    'a character set in the place of the coding',
    (res) =>
      void res
        .writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'UTF-8' })
        .end(frames()),
  ],
  [
    'compression by a proxy that says identity as well',
    (res) =>
      void res
        .writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip, identity' })
        .end(gzipSync(frames())),
  ],
  [
    '301, which keeps the method here',
    (res, req) =>
      req.url === '/elsewhere'
        ? streamed(res, frames())
        : void res.writeHead(301, { location: '/elsewhere' }).end(),
  ],
  [
    'a redirect whose body does not end',
    (res, req) =>
      req.url === '/elsewhere'
        ? streamed(res, frames())
        : void res.writeHead(307, { location: '/elsewhere' }).write('x'),
  ],
  [
    'trailers',
    (res) => {
      begin(res).write(frames());
      res.addTrailers({ 'x-usage': '1' });
      res.end();
    },
  ],
];
for (const [name, how] of understood) {
  test(`understood: ${name}`, async () => {
    play = how;
    const { status, body, text } = await service.execute(aTask());
    assert.equal(status, 200, text);
    assert.equal(body.output.content.trim(), content.trim());
    assert.equal(body.attempts, 1, text);
  });
}

/** What is no answer: it ends with a code, after so many attempts. */
const refused: [name: string, play: typeof play, status: number, code: string, attempts: number][] = [
  [
    '200 with HTML',
    (res) => sent(res, 'text/html', '<html><body>Log in</body></html>'),
    502,
    'gateway_error',
    2,
  ],
  [
    '200 with nothing',
    (res) => void res.writeHead(200, { 'content-type': 'text/event-stream' }).end(),
    502,
    'gateway_error',
    2,
  ],
  ['200 with a JSON text', (res) => sent(res, 'application/json', '"hello"'), 502, 'gateway_error', 2],
  ['JSON without choices', (res) => document(res, {}), 502, 'gateway_error', 2],
  [
    'an error object with 200',
    (res) => document(res, { error: { message: 'no such model', code: 404 } }),
    502,
    'gateway_error',
    1,
  ],
  [
    'only white space for ever',
    async (res) => {
      begin(res);
      while (!res.destroyed) if (!res.write(' '.repeat(65_536))) await sleep(1);
    },
    502,
    'gateway_error',
    2,
  ],
  [
    'a stream that is no UTF-8',
    (res) => streamed(res, Buffer.from([0xff, 0xfe, 0x0a, 0x0a])),
    502,
    'gateway_error',
    2,
  ],
  ['an event that is no JSON', (res) => streamed(res, 'data: {"choices":\n\n'), 502, 'gateway_error', 2],
  [
    'Retry-After twice',
    (res) => void res.setHeader('retry-after', ['0', '3600']).writeHead(429).end(),
    503,
    'gateway_unavailable',
    2,
  ],
  [
    'a finish reason that says that it broke off',
    (res) => streamed(res, frames(['half an answer'], 'error')),
    502,
    'gateway_error',
    2,
  ],
  [
    'an engine that gave up',
    (res) => streamed(res, frames(['half an answer'], 'abort')),
    502,
    'gateway_error',
    2,
  ],
  [
    'an error in the choice',
    (res) =>
      streamed(
        res,
        'data: {"choices":[{"index":0,"delta":{"content":"half"},"error":{"code":502,"message":"x"}}]}\n\ndata: [DONE]\n\n',
      ),
    502,
    'gateway_error',
    2,
  ],
  [
    'an error that is nested too deep to be written again',
    (res) => sent(res, 'application/json', `{"error":{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}}`),
    502,
    'gateway_error',
    2,
  ],
  [
    'a very long name of a field, and no colon behind it',
    (res) => streamed(res, frames([`{"${'k'.repeat(100_000)}" x`])),
    502,
    'output_invalid',
    2,
  ],
  ['401', (res) => void res.writeHead(401).end(), 502, 'gateway_error', 1],
  ['403', (res) => void res.writeHead(403).end('<html>'), 502, 'gateway_error', 1],
  ['404', (res) => document(res, { detail: 'Not Found' }, 404), 502, 'gateway_error', 1],
  ['204', (res) => void res.writeHead(204).end(), 502, 'gateway_error', 1],
  [
    '302 to a log-in page',
    (res) => void res.writeHead(302, { location: 'https://example.invalid/' }).end(),
    502,
    'gateway_error',
    1,
  ],
  [
    'a redirect to itself',
    (res, req) => void res.writeHead(307, { location: req.url }).end(),
    502,
    'gateway_error',
    1,
  ],
  [
    '503 with a body that drips',
    (res) => {
      res.writeHead(503);
      const timer = setInterval(() => res.write('x'), 100);
      res.on('close', () => clearInterval(timer));
    },
    503,
    'gateway_unavailable',
    2,
  ],
  [
    'a redirect to what is no HTTP',
    (res) => void res.writeHead(308, { location: 'mailto:someone@example.com' }).end(),
    502,
    'gateway_error',
    1,
  ],
  [
    '500 with an endless body',
    async (res) => {
      res.writeHead(500);
      while (!res.destroyed) if (!res.write('x'.repeat(65_536))) await sleep(1);
    },
    502,
    'gateway_error',
    2,
  ],
  ['a filtered answer', (res) => streamed(res, frames([halves[0]], 'content_filter')), 422, 'refused', 1],
  [
    'only tool calls',
    (res) =>
      streamed(
        res,
        'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0}]},"finish_reason":"tool_calls"}]}\n\ndata: [DONE]\n\n',
      ),
    502,
    'output_invalid',
    2,
  ],
  [
    'a length that is not kept',
    (res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream', 'content-length': '100000' });
      res.write(frames());
      setTimeout(() => res.destroy(), 20);
    },
    200,
    '',
    1,
  ],
  [
    'headers that never end',
    (res) => {
      const socket = res.socket as Socket;
      socket.write('HTTP/1.1 200 OK\r\n');
      const timer = setInterval(() => socket.write(`x-${'y'.repeat(1000)}: z\r\n`), 1);
      socket.on('close', () => clearInterval(timer));
      socket.on('error', () => {});
    },
    503,
    'gateway_unavailable',
    2,
  ],
  [
    'what grows too large when it is unpacked',
    (res) =>
      void res
        .writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' })
        .end(gzipSync(Buffer.alloc(100_000_000, ': '))),
    502,
    'gateway_error',
    2,
  ],
  [
    'a coding that nobody asked for',
    (res) =>
      void res.writeHead(200, { 'content-encoding': 'zstd' }).end(Buffer.from('28b52ffd00582900', 'hex')),
    502,
    'gateway_error',
    1,
  ],
  [
    '529',
    (res) => document(res, { error: { type: 'overloaded_error' } }, 529),
    503,
    'gateway_unavailable',
    2,
  ],
  ['522', (res) => void res.writeHead(522).end(), 503, 'gateway_unavailable', 2],
  [
    'a finish reason in every message, and a reset in the middle',
    async (res) => {
      const [role, piece] = frames().replaceAll('null', '"stop"').split('\n\n');
      begin(res).write(`${role}\n\n${piece}\n\n`);
      await sleep(50);
      (res.socket as Socket).resetAndDestroy();
    },
    502,
    'gateway_error',
    2,
  ],
  [
    'free text without any end',
    (res) => streamed(res, withoutEnd(frames([content]))),
    502,
    'gateway_error',
    2,
  ],
  [
    'a stream that says that the model is busy',
    (res) => streamed(res, 'data: {"error":{"code":429,"message":"Rate limit exceeded"}}\n\n'),
    503,
    'gateway_unavailable',
    2,
  ],
  [
    'vLLM of before: an error that is the message',
    (res) => streamed(res, 'data: {"object":"error","message":"gone","code":500}\n\ndata: [DONE]\n\n'),
    502,
    'gateway_error',
    2,
  ],
  ['no HTTP at all', (res) => void res.socket!.end('SSH-2.0-OpenSSH_9.2\r\n'), 503, 'gateway_unavailable', 2],
];
for (const [name, how, status, code, attempts] of refused) {
  test(`${status} ${code}: ${name}`, async () => {
    play = how;
    const task = aTask();
    const answer = await service.execute(task);
    assert.deepEqual([answer.status, answer.body.code ?? ''], [status, code], answer.text);
    assert.equal(answer.body.attempts, attempts, answer.text);
    assert.ok(answer.text.length < 10_000);
  });
}

/** Of SGLang, vLLM, LM Studio, xAI, DashScope, Moonshot, Zhipu, Cohere, GitHub Models. */
const tooLong = [
  "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
  'The decoder prompt (length 5000) is longer than the maximum model length of 4096.',
  'The number of tokens to keep from the initial prompt is greater than the context length.',
  'Trying to keep the first 5000 tokens when context the overflows.',
  "This model's maximum prompt length is 4096 but the request contains 5000 tokens.",
  'Range of input length should be [1, 4096]',
  'Invalid request: Your request exceeded model token limit: 4096',
  'Prompt exceeds max length',
  'too many tokens: size limit exceeded by 904 tokens',
];

/** What a gateway says of the task, as a status or in its stream. */
const ofTheTask: [name: string, play: typeof play, reason: string][] = [
  ...[
    { error: { message: 'too much', type: 'invalid_request_error', code: 'context_length_exceeded' } },
    {
      object: 'error',
      message: "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.",
      code: 400,
    },
    { error: { code: 400, message: 'too much', type: 'exceed_context_size_error', n_ctx: 4096 } },
    {
      type: 'error',
      error: { type: 'invalid_request_error', message: 'prompt is too long: 9 tokens > 8 maximum' },
    },
    {
      error: 'Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096.',
      error_type: 'validation',
    },
  ].flatMap((body): [string, typeof play, string][] => [
    [
      `${JSON.stringify(body).slice(0, 60)} with a status`,
      (res) => document(res, body, 400),
      'context_overflow',
    ],
    [
      `${JSON.stringify(body).slice(0, 60)} in a stream`,
      (res) => streamed(res, `data: ${JSON.stringify(body)}\n\n`),
      'context_overflow',
    ],
  ]),
  ...tooLong.map((message): [string, typeof play, string] => [
    message,
    (res) => document(res, { error: { message } }, 400),
    'context_overflow',
  ]),
  [
    'GitHub Models: a body too large',
    (res) =>
      document(res, { error: { code: 'tokens_limit_reached', message: 'Request body too large' } }, 413),
    'context_overflow',
  ],
  [
    'Azure: a filtered prompt',
    (res) => document(res, { error: { code: 'content_filter', status: 400, message: 'no' } }, 400),
    'declined_by_model',
  ],
  [
    'OpenRouter: a flagged prompt',
    (res) => document(res, { error: { code: 403, message: 'no', metadata: { flagged_input: 'x' } } }, 403),
    'declined_by_model',
  ],
];
for (const [name, how, reason] of ofTheTask) {
  test(`refused: ${name}`, async () => {
    play = how;
    const { status, body, text } = await service.execute(aTask());
    assert.deepEqual([status, body.code, body.reason, body.attempts], [422, 'refused', reason, 1], text);
  });
}

test('what a gateway says in an error is told, whatever its shape', async () => {
  const shapes: [string, string | Uint8Array, Record<string, string>?][] = [
    ['lost', JSON.stringify({ error: { message: 'lost' } })],
    ['lost', JSON.stringify({ object: 'error', message: 'lost' })],
    ['lost', JSON.stringify({ detail: 'lost' })],
    ['body.x: lost', JSON.stringify({ detail: [{ loc: ['body', 'x'], msg: 'lost', type: 'extra' }] })],
    ['lost', JSON.stringify({ success: false, errors: [{ code: 1, message: 'lost' }] })],
    ['lost', JSON.stringify([{ error: { code: 418, message: 'lost' } }])],
    ['lost: found', JSON.stringify({ error: { message: 'lost', metadata: { raw: 'found' } } })],
    ['lost', 'lost\n'],
    ['lost', '<html><head><title>lost</title></head></html>'],
    ['lost', 'data: {"error":{"message":"lost"}}\n\n'],
    ['lost', gzipSync(JSON.stringify({ error: 'lost' })), { 'content-encoding': 'gzip' }],
  ];
  for (const [said, body, headers] of shapes) {
    play = (res) => void res.writeHead(418, headers).end(body);
    const answer = await service.execute(aTask());
    assert.equal(answer.body.detail, `the gateway answered 418: ${said}`);
  }
  play = (res) => void res.writeHead(404).end('404 page not found');
  const { body } = await service.execute(aTask());
  assert.equal(body.detail, 'the gateway answered 404 at /v1/chat/completions: 404 page not found');
});

test('a gateway that does not know stream_options is asked without, from the first task on', async () => {
  const asked: boolean[] = [];
  play = (res) => {
    const refuses = bodies.at(-1)!.includes('stream_options');
    asked.push(refuses);
    const detail = [
      { type: 'extra_forbidden', loc: ['body', 'stream_options'], msg: 'Extra inputs are not permitted' },
    ];
    if (refuses) document(res, { object: 'error', message: { detail } }, 422);
    else streamed(res, frames());
  };
  for (const task of [aTask(), aTask()]) {
    const { status, body, text } = await service.execute(task);
    assert.deepEqual([status, body.attempts], [200, 1], text);
  }
  assert.deepEqual(asked, [true, false, false]);
});

test('a kept connection that is closed just when it is used again is no failure', async () => {
  for (const close of [(socket: Socket) => socket.end(), (socket: Socket) => socket.resetAndDestroy()]) {
    play = (res) => streamed(res, frames());
    await service.execute(aTask());
    const used = new Set<unknown>();
    play = (res) => {
      if (used.size > 0) return streamed(res, frames());
      used.add(res.socket);
      close(res.socket as Socket);
    };
    const { status, body, text } = await service.execute(aTask());
    assert.deepEqual([status, body.attempts, used.size], [200, 1, 1], text);
  }
});

test('usage that says nothing was said is not taken, and usage is found where others put it', async () => {
  const tokens = async (more: object) => {
    play = (res) =>
      streamed(
        res,
        frames().replace(
          '"finish_reason":"stop"}]',
          `"finish_reason":"stop"}],${JSON.stringify(more).slice(1, -1)}`,
        ),
      );
    return (await service.execute(aTask())).body.tokens;
  };
  const none = await tokens({ usage: { prompt_tokens: 0, completion_tokens: 0 } });
  assert.equal(none.counted_by, 'tokenizer');
  assert.ok(none.prompt > 0 && none.completion > 0);
  for (const more of [
    { x_groq: { usage: { prompt_tokens: 11, completion_tokens: 22 } } },
    { usage: { input_tokens: 11, output_tokens: 22 } },
  ]) {
    const { prompt, completion, counted_by } = await tokens(more);
    assert.deepEqual([prompt, completion, counted_by], [11, 22, 'gateway']);
  }
});

test('comments before an answer are not its first token', async () => {
  play = async (res) => {
    begin(res).write(': OPENROUTER PROCESSING\n\n');
    await sleep(200);
    res.end(frames());
  };
  const { body } = await service.execute(aTask());
  assert.ok(body.timings.first_token > 150, JSON.stringify(body.timings));
});

test('a key that the gateway repeats is not told', async () => {
  const other = await atService('gateway: {api_key: s3cret-key, max_attempts: 1}', {
    MODEL_GATEWAY_URL: `http://127.0.0.1:${(gateway.address() as AddressInfo).port}/v1`,
  });
  try {
    play = (res, req) => document(res, { error: { message: `no: ${req.headers.authorization}` } }, 401);
    const { text } = await other.execute(aTask());
    assert.match(text, /no: Bearer \*\*\*/);
  } finally {
    await other.close();
  }
});

test('retry-after-ms is kept', async () => {
  const at: number[] = [];
  play = (res) => {
    at.push(performance.now());
    if (at.length > 1) streamed(res, frames());
    else res.writeHead(429, { 'retry-after-ms': '150' }).end();
  };
  assert.equal((await service.execute(aTask())).status, 200);
  assert.ok(at[1]! - at[0]! >= 149, `${at[1]! - at[0]!}`);
});

test('a chunk of 5 MB without a line break is read', async () => {
  const content = 'x y '.repeat(1_250_000);
  play = (res) => streamed(res, frames([JSON.stringify({ content })]));
  const { status, body, text } = await service.execute(aTask({ tier: 'large' }));
  assert.equal(status, 200, text.slice(0, 300));
  assert.ok(body.output.content === content);
  assert.equal((await service.ask('GET', '/health/ready')).status, 200);
});

test('an answer beyond the limit of output tokens is cut off however it comes: at once, in parts, as a document', async () => {
  const content = 'x y '.repeat(1000);
  const stream = frames([`{"content": "${content.slice(0, 2000)}`, `${content.slice(2000)}"}`]);
  const plays: (typeof play)[] = [
    (res) => streamed(res, stream),
    async (res) => {
      begin(res);
      for (const part of stream.split(/(?<=\n\n)/)) {
        res.write(part);
        await sleep(30);
      }
      res.end();
    },
    (res) =>
      document(res, {
        choices: [{ message: { content: JSON.stringify({ content }) }, finish_reason: 'stop' }],
        usage: { prompt_tokens: 10, completion_tokens: 2010 },
      }),
  ];
  for (const how of plays) {
    play = how;
    const { status, body } = await service.execute(aTask({ max_output_tokens: 50 }));
    assert.deepEqual([status, body.code], [502, 'output_invalid']);
    assert.match(body.detail, /cut off by the limit/);
  }
});

test('an answer that a provider cuts off is told of as that, also where it refuses to give more', async () => {
  const asked: number[] = [];
  play = (res) => {
    const { max_tokens } = JSON.parse(bodies.at(-1)!) as { max_tokens: number };
    asked.push(max_tokens);
    const message = `max_tokens: ${max_tokens} > 1000, which is the maximum allowed number of output tokens`;
    if (asked.length > 1) return document(res, { error: { type: 'invalid_request_error', message } }, 400);
    streamed(res, frames(['{"content": "x'], 'length'));
  };
  const { status, body } = await service.execute(aTask({ tier: 'large' }));
  assert.deepEqual([status, body.code, asked.length], [502, 'output_invalid', 2]);
  assert.match(body.detail, /cut off by the limit/);
});

test('Retry-After may be a date', async () => {
  const at = new Date(Date.now() + 7_200_000).toUTCString();
  play = (res) => void res.writeHead(429, { 'retry-after': at }).end();
  const { status, body, headers } = await service.execute(aTask());
  assert.deepEqual([status, body.code, body.attempts], [503, 'gateway_unavailable', 1]);
  const seconds = Number(headers['retry-after']);
  assert.ok(seconds > 7_000 && seconds <= 7_200, String(seconds));
});

test('Retry-After may have a fraction', async () => {
  play = (res) => void res.writeHead(429, { 'retry-after': '7200.5' }).end();
  const { body, headers } = await service.execute(aTask());
  assert.deepEqual([body.attempts, headers['retry-after']], [1, '7201']);
});

test('the last usage counts', async () => {
  play = understood.find(([name]) => name.startsWith('usage null'))![1];
  assert.equal((await service.execute(aTask())).body.tokens_used, 33);
});

test('the names that a gateway gives are kept short', async () => {
  play = (res) => document(res, { ...whole(output), model: 'm'.repeat(100_000) });
  const { body } = await service.execute(aTask());
  assert.equal(body.model, 'm'.repeat(256));
});

test('however many models a gateway names, the metrics know the configured one', async () => {
  for (const model of ['made-up-1', 'made-up-2', 'gemma3:12b']) {
    play = (res) => document(res, { ...whole(output), model });
    assert.equal((await service.execute(aTask())).body.model, model);
  }
  const { text } = await service.ask('GET', '/metrics');
  const models = new Set(text.match(/(?<=model=")[^"]*/g));
  assert.deepEqual([...models].sort(), ['gemma3:12b', 'openai/gpt-oss-20b']);
});

test('a character that is cut between two messages is put together again, in the deltas too', async () => {
  for (const text of [output, content]) {
    const at = text.indexOf('😀') + 1;
    play = async (res) => {
      const [first, second] = frames([text.slice(0, at), text.slice(at)]).split(/(?<=\\ud83d.*\n\n)/);
      begin(res).write(first);
      await sleep(50);
      res.end(second);
    };
    const all = eventsOf((await service.execute(aTask(), { accept: 'text/event-stream' })).text);
    assert.equal(all.at(-1)!.data.output.content.trim(), content.trim());
    const deltas: string[] = all.flatMap(({ event, data }) => (event === 'delta' ? [data.text] : []));
    assert.ok(deltas.length > 1 && deltas.every((delta) => delta.isWellFormed()), JSON.stringify(deltas));
  }
});

for (const [name, piece] of [
  ['words', 'and so on, '],
  ['a word without an end', 'abcdefgh'],
  ['writing without spaces', '漢字ก็ได้'],
  ['pictures', '😀🚀'],
] as const)
  test(`a gateway that goes on beyond the limit of output tokens is left, and the outcome says so: ${name}`, async () => {
    let left = 0;
    play = async (res) => {
      res.on('close', () => {
        left++;
      });
      begin(res).write(withoutEnd(frames(['{"content": "'])));
      const more = { choices: [{ index: 0, delta: { content: piece }, finish_reason: null }] };
      while (!res.destroyed) {
        res.write(`data: ${JSON.stringify(more)}\n\n`.repeat(20));
        await sleep(5);
      }
    };
    const task = aTask({ max_output_tokens: 200 });
    const { status, body } = await service.execute(task);
    assert.deepEqual([status, body.code], [502, 'output_invalid']);
    assert.match(body.detail, /cut off by the limit of output tokens/);
    const { attempts } = (await service.ask('GET', `/tasks/${task.task_id}/receipt`)).body;
    assert.equal(attempts.length, calls);
    for (const { ended, tokens, max_output_tokens } of attempts)
      assert.deepEqual([ended, tokens.completion > max_output_tokens], ['aborted', true]);
    await until(() => left === calls, 'the end of each call');
  });

for (const [name, begun, hangUpMs] of [
  ['breaks within the head of an answer', 'HTTP/1.1 200 OK\r\nContent-', 20],
  ['is hung up on after a while', '', 700],
] as const)
  test(`a connection that ${name} is an attempt, also when it had brought one before`, async () => {
    play = (res) => streamed(res, frames());
    await service.execute(aTask());
    calls = 0;
    play = async (res) => {
      res.socket!.write(begun);
      await sleep(hangUpMs);
      res.socket!.destroy();
    };
    const task = aTask();
    assert.equal((await service.execute(task)).status, 503);
    const { attempts } = (await service.ask('GET', `/tasks/${task.task_id}/receipt`)).body;
    assert.deepEqual([attempts.length, calls], [2, 2]);
  });

test('the first token may come later than a stream may be silent, also where the head of the answer comes at once', async () => {
  play = async (res) => {
    begin(res).flushHeaders();
    await sleep(1500);
    res.end(frames());
  };
  const { status, body } = await service.execute(aTask());
  assert.deepEqual([status, body.attempts], [200, 1]);
});

test('a stream that came faster than it was read may go on slowly', async () => {
  const pieces = (content: string, pad = '') =>
    `data: ${JSON.stringify({ pad, choices: [{ delta: { content } }] })}\n\n`;
  play = async (res) => {
    begin(res).write(pieces('{"content": "') + pieces('', 'x'.repeat(200)).repeat(15_000));
    for (let tick = 0; tick < 10; tick++) {
      await sleep(200);
      res.write(pieces('y'));
    }
    res.end(pieces('"}') + frames([]));
  };
  const { status, body } = await service.execute(aTask());
  assert.deepEqual([status, body.attempts], [200, 1]);
});

test('a compressed body that decodes to nothing is as large as an answer may be, and no larger', async () => {
  const nothing = Buffer.concat(Array.from({ length: 2000 }, () => gzipSync('')));
  let sent = 0;
  play = async (res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' });
    while (!res.destroyed) {
      if (res.writableNeedDrain) await sleep(2);
      else {
        res.write(nothing);
        sent += nothing.length;
      }
    }
  };
  const { status, body } = await service.execute(aTask());
  assert.deepEqual([status, body.code], [502, 'gateway_error']);
  assert.match(body.detail, /larger than 8000000 bytes/);
  // What is in the buffers of the connections comes on top.
  assert.ok(sent < calls * 24_000_000, `${sent} bytes in ${calls} calls`);
});

test('usage that cannot be is not taken', async () => {
  play = (res) =>
    streamed(
      res,
      frames().replace(
        'data: [DONE]',
        'data: {"choices":[],"usage":{"prompt_tokens":-1,"completion_tokens":"9"}}\n\ndata: [DONE]',
      ),
    );
  assert.equal((await service.execute(aTask())).body.tokens.counted_by, 'tokenizer');
});

test('after all that the service answers as before', async () => {
  play = (res) => streamed(res, frames());
  assert.equal((await service.execute(aTask())).status, 200);
  assert.equal(calls, 1);
});

test.run();

/** A stream of chat completions: a role, the pieces, a finish reason, [DONE]. */
function frames(pieces: readonly unknown[] = halves, finishReason = 'stop'): string {
  const events = [{ role: 'assistant', content: '' }, ...pieces.map((piece) => ({ content: piece }))].map(
    (delta) => ({ choices: [{ index: 0, delta, finish_reason: null }] }),
  );
  const last = { choices: [{ index: 0, delta: {}, finish_reason: finishReason }] };
  return `${[...events, last].map((event) => `data: ${JSON.stringify(event)}\n\n`).join('')}data: [DONE]\n\n`;
}

/** Without finish reason and [DONE]. */
function withoutEnd(stream: string): string {
  return stream.slice(0, stream.indexOf('data: {"choices":[{"index":0,"delta":{},"finish_reason"'));
}

function whole(message: unknown): object {
  return {
    choices: [{ index: 0, message: { role: 'assistant', content: message }, finish_reason: 'stop' }],
    usage,
  };
}

function begin(res: ServerResponse): ServerResponse {
  return res.writeHead(200, { 'content-type': 'text/event-stream' });
}

function streamed(res: ServerResponse, body: string | Uint8Array): void {
  begin(res).end(body);
}

function document(res: ServerResponse, body: object, status = 200): void {
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function sent(res: ServerResponse, type: string, body: string): void {
  res.writeHead(200, { 'content-type': type }).end(body);
}

/** HTTP/1.0 style: the end of the connection is the end of the body. */
function plain(res: ServerResponse, type: string, body: string): void {
  res.socket!.end(`HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\nconnection: close\r\n\r\n${body}`);
}
