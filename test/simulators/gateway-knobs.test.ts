import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { GatewayKnobsInput, InvalidOutput } from '../../bench/simulators/gateway-knobs.js';
import { outputs } from '../../bench/simulators/outputs.js';
import { logNormal, randomOf } from '../../bench/simulators/random.js';
import {
  type Answer,
  aChat,
  atGateway,
  deltasOf,
  eventsOf,
  eventually,
  type Json,
  textsOf,
} from './at-gateway.js';

const whole = { stream: false, stream_options: undefined };

/**
 * What is measured, and measured once more, is the same within 15 ms. The time that a busy machine takes only comes on
 * top, so the least of several measurements counts.
 */
async function sameTwice(measure: () => Promise<number[]>): Promise<number[]> {
  const least = (one: number[], other: number[]) => one.map((ms, call) => Math.min(ms, other[call]!));
  let [first, again] = [await measure(), await measure()];
  const isSame = () => first.every((ms, call) => Math.abs(ms - again[call]!) <= 15);
  for (let round = 0; round < 20 && !isSame(); round++)
    [first, again] = [least(first, await measure()), least(again, await measure())];
  assert.ok(isSame(), `${first} ${again}`);
  return first;
}

test('ttftMs delays the first byte', () =>
  atGateway({ ttftMs: 80 }, async (gateway) => {
    const answer = await gateway.chat();
    assert.ok(answer.headersMs >= 79, `${answer.headersMs}`);
    assert.ok((await gateway.chat(whole)).headersMs >= 79);
  }));

test('tokensPerSecond paces the stream and the whole answer', () =>
  atGateway({ tokensPerSecond: 100, output: 'x'.repeat(80) }, async (gateway) => {
    const answer = await gateway.chat();
    assert.ok(answer.endMs > 150, `${answer.endMs}`);
    assert.ok(textsOf(answer).length >= 4);
    const generated = await gateway.post('/generate', { model: 'm', prompt: 'p' });
    assert.ok(generated.headersMs > 190);
    assert.ok(JSON.parse(generated.text).latency_ms >= 200);
  }));

test('jitter changes the delays, the same way for the same seed', async () => {
  const latencies = async (seed: number) => {
    const seen: number[] = [];
    await atGateway({ tokensPerSecond: 1000, output: 'x'.repeat(200), jitter: 1, seed }, async (gateway) => {
      for (let call = 0; call < 4; call++) {
        seen.push(JSON.parse((await gateway.post('/generate', { model: 'm', prompt: 'p' })).text).latency_ms);
      }
    });
    return seen;
  };
  const first = await sameTwice(() => latencies(1));
  assert.ok(new Set(first).size > 1);
  assert.not.equal(first, await latencies(2));
});

test('heavyTail makes each answer slower or faster as a whole, the same way for the same seed', async () => {
  const knobs = { ttftMs: 20, tokensPerSecond: 400, output: 'x'.repeat(16), heavyTail: 1 };
  const latencies = async (seed: number) => {
    const seen: number[] = [];
    await atGateway({ ...knobs, seed }, async (gateway) => {
      for (let call = 0; call < 8; call++)
        seen.push(JSON.parse((await gateway.post('/generate', { model: 'm', prompt: 'p' })).text).latency_ms);
    });
    return seen;
  };
  const first = await sameTwice(() => latencies(3));
  assert.ok(Math.max(...first) > 2 * Math.min(...first), `${first}`);
});

test('the factor of heavyTail has a median of 1 and a long tail', () => {
  const factors = Array.from({ length: 2001 }, (_, call) => logNormal(randomOf(1, call), 1)).sort(
    (a, b) => a - b,
  );
  const median = factors[1000]!;
  assert.ok(median > 0.9 && median < 1.1, `${median}`);
  assert.ok(factors[1980]! > 7 && factors[1980]! < 14, `${factors[1980]}`);
});

test('chunkTokens sets the size of a delta', () =>
  atGateway({ chunkTokens: 2, output: 'x'.repeat(80) }, async (gateway) => {
    assert.equal(textsOf(await gateway.chat()), Array(10).fill('x'.repeat(8)));
  }));

test('chunks sets the exact number of deltas, more than characters too', () =>
  atGateway({ chunks: 20 }, async (gateway) => {
    assert.is(textsOf(await gateway.chat()).length, 20);
    await gateway.put({ output: 'short' });
    const texts = textsOf(await gateway.chat());
    assert.is(texts.length, 20);
    assert.is(texts.join(''), 'short');
  }));

test('deltas never split a character', () =>
  atGateway({ chunks: 7, output: '😀'.repeat(10) }, async (gateway) => {
    for (const text of textsOf(await gateway.chat())) assert.match(text, /^(?:😀)*$/u);
  }));

test('output replaces the text, for all or by domain', () =>
  atGateway({ output: { 'code-general': 'mine' } }, async (gateway) => {
    assert.is(textsOf(await gateway.chat()).join(''), 'mine');
    const other = await gateway.chat({ metadata: { domain: 'ui-design' } });
    assert.equal(JSON.parse(textsOf(other).join('')), outputs['ui-design']);
    await gateway.put({ output: 'all' });
    assert.is(textsOf(await gateway.chat({ metadata: { domain: 'ui-design' } })).join(''), 'all');
  }));

test('outputBytes pads the content of the JSON to that size', () =>
  atGateway({ outputBytes: 20_000 }, async (gateway) => {
    const text = textsOf(await gateway.chat()).join('');
    assert.is(Buffer.byteLength(text), 20_000);
    assert.ok(JSON.parse(text).content.length > 15_000);
    await gateway.put({ output: 'plain', outputBytes: 1000 });
    assert.is(textsOf(await gateway.chat()).join('').length, 1000);
  }));

test('hugeDeltaBytes puts everything into one delta', () =>
  atGateway({ hugeDeltaBytes: 3_000_000 }, async (gateway) => {
    const texts = textsOf(await gateway.chat());
    assert.is(texts.length, 1);
    assert.is(Buffer.byteLength(texts[0]!), 3_000_000);
  }));

test('a refusal stands in delta.refusal, in the content, or in both', () =>
  atGateway({ refusal: 'I cannot do this.' }, async (gateway) => {
    const refusalOf = (answer: Answer) =>
      deltasOf(answer)
        .map((delta) => delta.refusal ?? '')
        .join('');
    const openai = await gateway.chat();
    assert.is(refusalOf(openai), 'I cannot do this.');
    assert.is(textsOf(openai).join(''), '');
    const message = JSON.parse((await gateway.chat(whole)).text).choices[0].message;
    assert.is(message.refusal, 'I cannot do this.');
    assert.is(message.content, null);
    const generated = await gateway.post('/generate', { model: 'm', prompt: 'p' });
    assert.is(JSON.parse(generated.text).content, 'I cannot do this.');

    await gateway.put({ refusalKind: 'content' });
    const content = await gateway.chat();
    assert.is(refusalOf(content), '');
    assert.is(textsOf(content).join(''), 'I cannot do this.');

    await gateway.put({ refusalKind: 'both' });
    const both = await gateway.chat();
    assert.is(refusalOf(both), 'I cannot do this.');
    assert.is(textsOf(both).join(''), 'I cannot do this.');
  }));

test('invalidOutput spoils the text in the named way', () =>
  atGateway({}, async (gateway) => {
    const spoiled = async (invalidOutput: InvalidOutput) => {
      await gateway.put({ invalidOutput });
      return textsOf(await gateway.chat()).join('');
    };
    const good = JSON.stringify(outputs['code-general']);
    assert.not(isJson(await spoiled('not_json')));
    assert.is(JSON.parse(await spoiled('wrong_shape')).status, undefined);
    assert.is(await spoiled('trailing_comma'), `${good.slice(0, -1)},}`);
    const chatter = await spoiled('chatter_around');
    assert.ok(chatter.includes(good) && !chatter.startsWith('{') && !chatter.endsWith('}'));
    assert.is(await spoiled('fenced'), `\`\`\`json\n${good}\n\`\`\`\n`);
    assert.is(await spoiled('empty'), '');
    const truncated = await spoiled('truncated_json');
    assert.ok(truncated.length > 0 && truncated.length < good.length && good.startsWith(truncated));
  }));

test('invalidOutputRate spoils that share of the answers', () =>
  atGateway({ invalidOutputRate: 0.5 }, async (gateway) => {
    let invalid = 0;
    for (let call = 0; call < 100; call++) {
      if (!isJson(textsOf(await gateway.chat()).join(''))) invalid++;
    }
    assert.ok(invalid > 30 && invalid < 70, `${invalid}`);
  }));

test('finishReason is reported as given', () =>
  atGateway({ finishReason: 'content_filter' }, async (gateway) => {
    assert.is(eventsOf(await gateway.chat()).at(-3).choices[0].finish_reason, 'content_filter');
  }));

test('status answers with an error, Retry-After and a body', () =>
  atGateway({ status: 429, retryAfterSeconds: 2 }, async (gateway) => {
    const answer = await gateway.chat();
    assert.is(answer.status, 429);
    assert.is(answer.headers['retry-after'], '2');
    assert.is(JSON.parse(answer.text).error.code, 'rate_limit_exceeded');
    await gateway.put({ status: 503, body: '<h1>down</h1>', wrongContentType: true });
    const down = await gateway.chat();
    assert.is(down.status, 503);
    assert.is(down.text, '<h1>down</h1>');
    assert.is(down.headers['content-type'], 'text/html');
    assert.is((await gateway.stats()).failed, 2);
  }));

test('errorRate fails that share of the calls', () =>
  atGateway({ errorRate: 0.3 }, async (gateway) => {
    let failed = 0;
    for (let call = 0; call < 100; call++) if ((await gateway.chat()).status === 500) failed++;
    assert.ok(failed > 15 && failed < 45, `${failed}`);
  }));

test('hangBeforeHeaders never answers, and the close of the client is seen', () =>
  atGateway({ hangBeforeHeaders: true }, async (gateway) => {
    const abort = new AbortController();
    const call = gateway.post('/chat/completions', aChat({ metadata: { task_id: 't' } }), abort.signal);
    await eventually(async () => (await gateway.stats()).open === 1);
    const before = Date.now();
    abort.abort();
    await call.then(
      () => assert.unreachable(),
      () => {},
    );
    await eventually(async () => (await gateway.stats()).clientClosed === 1);
    const [closed] = (await gateway.stats()).clientClosedCalls;
    assert.is(closed!.task, 't');
    assert.ok(closed!.at >= before && closed!.at <= Date.now());
    assert.is((await gateway.stats()).open, 0);
  }));

test('a client that goes away in the middle of a paced stream stops it', () =>
  atGateway({ tokensPerSecond: 100 }, async (gateway) => {
    const abort = new AbortController();
    const response = await request(`${gateway.url}/chat/completions`, {
      method: 'POST',
      body: JSON.stringify(aChat()),
      signal: abort.signal,
    });
    for await (const _ of response.body.on('error', () => {})) break;
    abort.abort();
    await eventually(async () => (await gateway.stats()).clientClosed === 1);
    const [closed] = (await gateway.stats()).clientClosedCalls;
    assert.ok(closed!.chunksSent >= 1 && closed!.chunksSent < 20);
  }));

const cuts: readonly [NonNullable<GatewayKnobsInput['cutKind']>, string | null][] = [
  ['rst', 'ECONNRESET'],
  ['fin', 'UND_ERR_SOCKET'],
  ['broken_chunk', 'HTTPParserError'],
  ['clean_end', null],
];
for (const [cutKind, error] of cuts) {
  test(`cutAfterChunks with ${cutKind} delivers the deltas before it`, () =>
    atGateway({ cutAfterChunks: 3, cutKind, chunks: 10 }, async (gateway) => {
      const answer = await gateway.chat();
      assert.is(textsOf(answer).length, 3);
      assert.is(answer.error, error);
      assert.not.match(answer.text, /DONE|"stop"|usage/);
      const cutWhole = await gateway.chat(whole);
      assert.is(cutWhole.status, 200);
      assert.is(cutWhole.error, error);
      assert.not(isJson(cutWhole.text));
      assert.is((await gateway.stats()).failed, 2);
    }));
}

test('a cut in a paced stream comes at its time', () =>
  atGateway({ cutAfterChunks: 3, ttftMs: 20, tokensPerSecond: 100, chunks: 100 }, async (gateway) => {
    const answer = await gateway.chat();
    assert.is(answer.error, 'ECONNRESET');
    assert.is(textsOf(answer).length, 3);
    assert.ok(answer.endMs > 60);
  }));

test('cutAfterChunks 0 cuts after the headers, and a number that is not reached cuts nothing', () =>
  atGateway({ cutAfterChunks: 0, chunks: 5 }, async (gateway) => {
    const cut = await gateway.chat();
    assert.is(cut.status, 200);
    assert.is(cut.text, '');
    assert.is(cut.error, 'ECONNRESET');
    await gateway.put({ cutAfterChunks: 6 });
    assert.is(eventsOf(await gateway.chat()).at(-1), '[DONE]');
  }));

test('errorInStreamAfterChunks puts an error object into the stream', () =>
  atGateway({ errorInStreamAfterChunks: 2 }, async (gateway) => {
    const answer = await gateway.chat();
    const events = eventsOf(answer);
    assert.is(answer.status, 200);
    assert.is(events.length, 4);
    assert.is(events[2].error.type, 'server_error');
    assert.is(events[3], '[DONE]');
    assert.type(JSON.parse((await gateway.chat(whole)).text).error.message, 'string');
    assert.is((await gateway.stats()).failed, 2);
  }));

test('stallAfterChunks sends the deltas before it and then nothing', () =>
  atGateway({ stallAfterChunks: 2, chunks: 5 }, async (gateway) => {
    const abort = new AbortController();
    const call = gateway.post('/chat/completions', aChat(), abort.signal);
    await delay(100);
    assert.is((await gateway.stats()).open, 1);
    abort.abort();
    assert.is(textsOf(await call).length, 2);
    await eventually(async () => (await gateway.stats()).clientClosedCalls[0]?.chunksSent === 2);
  }));

test('slowLoris sends single bytes with a pause between', () =>
  atGateway({ slowLoris: 1, output: 'x', omitUsage: true }, async (gateway) => {
    const answer = await gateway.chat();
    assert.is(answer.pieces.length, answer.text.length);
    assert.ok(answer.endMs >= answer.text.length, `${answer.endMs}`);
    assert.is(textsOf(answer).join(''), 'x');
  }));

test('splitBytes splits lines and characters, and nothing is lost', () =>
  atGateway({ splitBytes: 3, output: 'Grüße 😀 '.repeat(20) }, async (gateway) => {
    const exact = await gateway.chat();
    assert.ok(exact.pieces.every((piece, index) => piece.length === 3 || index === exact.pieces.length - 1));
    assert.ok(exact.pieces.some((piece) => piece.toString().includes('\uFFFD')));
    assert.is(textsOf(exact).join(''), 'Grüße 😀 '.repeat(20));
    await gateway.put({ splitBytes: 40, splitRandom: true });
    const random = await gateway.chat();
    assert.ok(new Set(random.pieces.map((piece) => piece.length)).size > 5);
    assert.ok(random.pieces.every((piece) => piece.length <= 40));
    assert.is(textsOf(random).join(''), 'Grüße 😀 '.repeat(20));
    assert.is(
      JSON.parse((await gateway.chat(whole)).text).choices[0].message.content,
      'Grüße 😀 '.repeat(20),
    );
  }));

test('crlf ends every line with CR LF', () =>
  atGateway({ crlf: true, comments: true }, async (gateway) => {
    const answer = await gateway.chat();
    assert.not.match(answer.text, /[^\r]\n/);
    assert.equal(JSON.parse(textsOf(answer).join('')), outputs['code-general']);
  }));

test('comments stand before every event', () =>
  atGateway({ comments: true, chunks: 4 }, async (gateway) => {
    const answer = await gateway.chat();
    assert.is(answer.text.match(/^: keep-alive$/gm)?.length, eventsOf(answer).length);
  }));

test('omitUsage, omitDone and omitFinishReason leave these out', () =>
  atGateway({ omitUsage: true, omitDone: true, omitFinishReason: true }, async (gateway) => {
    const answer = await gateway.chat();
    assert.not.match(answer.text, /usage|DONE|"stop"/);
    const body = JSON.parse((await gateway.chat(whole)).text);
    assert.is(body.usage, undefined);
    assert.is(body.choices[0].finish_reason, null);
    const generated = JSON.parse((await gateway.post('/generate', { model: 'm', prompt: 'p' })).text);
    assert.is(generated.tokens_output, undefined);
    assert.is(generated.finish_reason, undefined);
  }));

test('usageSkew multiplies the reported output tokens', () =>
  atGateway({ usageSkew: 2, output: 'x'.repeat(40) }, async (gateway) => {
    assert.is(eventsOf(await gateway.chat()).at(-2).usage.completion_tokens, 20);
  }));

test('headers stand in every answer, and errorInStream in place of the error object', () =>
  atGateway({ headers: { 'retry-after': 'soon', 'content-type': 'x/y' } }, async (gateway) => {
    for (const knobs of [{}, { status: 429, retryAfterSeconds: 3 }]) {
      await gateway.put(knobs);
      for (const answer of [await gateway.chat(), await gateway.chat(whole)])
        assert.equal([answer.headers['retry-after'], answer.headers['content-type']], ['soon', 'x/y']);
    }
    await gateway.put({ status: null, errorInStreamAfterChunks: 0, errorInStream: '{"error":"no"}' });
    assert.match((await gateway.chat()).text, /^data: \{"error":"no"\}\n\n/);
    assert.is((await gateway.chat(whole)).text, '{"error":"no"}');
  }));

test('reasoningIn puts the reasoning into the content, with and without the tag that opens it', () =>
  atGateway({ reasoningTokens: 2, output: 'x', reasoningIn: 'think' }, async (gateway) => {
    const both = async () => [
      textsOf(await gateway.chat()).join(''),
      JSON.parse((await gateway.chat(whole)).text).choices[0].message.content,
      JSON.parse((await gateway.post('/generate', { model: 'm', prompt: 'p' })).text).content,
    ];
    assert.equal(await both(), Array(3).fill('<think>\nLet me \n</think>\n\nx'));
    await gateway.put({ reasoningIn: 'unopened' });
    assert.equal(await both(), Array(3).fill('Let me \n</think>\n\nx'));
  }));

test('reasoningTokens come before the content, in both fields, and are counted', () =>
  atGateway({ reasoningTokens: 5, output: 'x'.repeat(40) }, async (gateway) => {
    const answer = await gateway.chat();
    const deltas = deltasOf(answer);
    assert.ok(
      deltas
        .slice(0, 5)
        .every((delta) => delta.reasoning === delta.reasoning_content && delta.reasoning !== ''),
    );
    assert.type(deltas[5].content, 'string');
    const { usage } = eventsOf(answer).at(-2);
    assert.is(usage.completion_tokens, 15);
    assert.is(usage.completion_tokens_details.reasoning_tokens, 5);
  }));

test('emptyDeltas follow each delta and change nothing of the text', () =>
  atGateway({ emptyDeltas: 3, chunks: 4 }, async (gateway) => {
    const answer = await gateway.chat();
    assert.equal(deltasOf(answer).slice(1, 4), [{}, { content: '' }, { content: null }]);
    assert.equal(JSON.parse(textsOf(answer).join('')), outputs['code-general']);
  }));

test('toolCallDeltas come before the content', () =>
  atGateway({ toolCallDeltas: 2 }, async (gateway) => {
    const answer = await gateway.chat();
    assert.is(deltasOf(answer).filter((delta) => delta.tool_calls !== undefined).length, 2);
    assert.equal(JSON.parse(textsOf(answer).join('')), outputs['code-general']);
  }));

test('extraFields are in every object', () =>
  atGateway({ extraFields: true }, async (gateway) => {
    const events = eventsOf(await gateway.chat()).slice(0, -1);
    assert.ok(events.every((event: Json) => event.x_simulator !== undefined));
    assert.ok(events.at(-1).usage.x_usage);
    assert.ok(JSON.parse((await gateway.chat(whole)).text).x_simulator);
  }));

test('closeConnection closes after each answer', () =>
  atGateway({ closeConnection: true }, async (gateway) => {
    for (const body of [{}, {}, whole]) assert.is((await gateway.chat(body)).headers.connection, 'close');
    assert.ok((await gateway.stats()).connections.opened >= 3);
  }));

test('wrongContentType says text/html', () =>
  atGateway({ wrongContentType: true }, async (gateway) => {
    assert.is((await gateway.chat()).headers['content-type'], 'text/html');
    assert.is((await gateway.chat(whole)).headers['content-type'], 'text/html');
  }));

test('a script sets the knobs of consecutive calls, then the base holds again', () =>
  atGateway({ output: 'base', script: [{ status: 503 }, { output: 'second' }, {}] }, async (gateway) => {
    assert.is((await gateway.chat()).status, 503);
    for (const text of ['second', 'base', 'base']) assert.is(textsOf(await gateway.chat()).join(''), text);
    await gateway.put({ script: [{ output: 'again' }] });
    assert.is(textsOf(await gateway.chat()).join(''), 'again');
    assert.is(textsOf(await gateway.chat()).join(''), 'base');
  }));

test('perModel sets the knobs of one model', () =>
  atGateway({ perModel: { broken: { status: 500 } } }, async (gateway) => {
    assert.is((await gateway.chat({ model: 'broken' })).status, 500);
    assert.is((await gateway.chat()).status, 200);
  }));

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

test.run();
