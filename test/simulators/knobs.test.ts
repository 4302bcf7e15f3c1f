import { readFile } from 'node:fs/promises';
import { request } from 'undici';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { gatewayDefaults } from '../../bench/simulators/gateway-knobs.js';
import { KnobError } from '../../bench/simulators/knob-checks.js';
import { mergeGatewayKnobs } from '../../bench/simulators/merge-gateway-knobs.js';
import { mergeRagKnobs, ragDefaults } from '../../bench/simulators/rag-knobs.js';
import { atGateway } from './at-gateway.js';

test('knobs are merged, and null takes one back to its default', () => {
  const slow = mergeGatewayKnobs(gatewayDefaults, { ttftMs: 5, cutAfterChunks: 3 });
  const faster = mergeGatewayKnobs(slow, { ttftMs: null });
  assert.is(faster.ttftMs, 0);
  assert.is(faster.cutAfterChunks, 3);
});

test('unknown knobs and values that are not allowed are refused by name', () => {
  const refusals: readonly [object, RegExp][] = [
    [{ ttft: 1 }, /^ttft: unknown knob$/],
    [{ constructor: 1 }, /^constructor: unknown knob$/],
    [{ ttftMs: -1 }, /^ttftMs: expected a number from 0 to 2147483647, got -1$/],
    [{ ttftMs: '1' }, /^ttftMs: expected a number/],
    [{ jitter: 2 }, /^jitter: expected a number from 0 to 1, got 2$/],
    [{ chunks: 1.5 }, /^chunks: expected an integer/],
    [{ cutKind: 'bang' }, /^cutKind: expected one of rst, fin, clean_end, broken_chunk, got "bang"$/],
    [{ output: { 'code-general': 1 } }, /^output: expected a string/],
    [{ script: [{}, { nope: 1 }] }, /^script\[1\]\.nope: unknown knob$/],
    [{ script: [{ script: [] }] }, /^script\[0\]\.script: may not be nested$/],
    [{ script: {} }, /^script: expected a list/],
    [{ perModel: { m: { jitter: 7 } } }, /^perModel\.m\.jitter: expected/],
    [[], /^knobs: expected an object/],
  ];
  for (const [input, message] of refusals) {
    assert.throws(
      () => mergeGatewayKnobs(gatewayDefaults, input),
      (error: Error) => error instanceof KnobError && message.test(error.message),
      JSON.stringify(input),
    );
  }
  assert.throws(() => mergeRagKnobs(ragDefaults, { ttftMs: 1 }), /ttftMs: unknown knob/);
});

test('PUT merges knobs, a refused PUT changes nothing, DELETE goes back to those of the start', () =>
  atGateway({ chunks: 3 }, async ({ url }) => {
    const knobs = async (method: string, body?: string) => {
      const response = await request(`${url}/_simulator/knobs`, {
        method: method as 'PUT',
        body: body ?? null,
      });
      return { status: response.statusCode, body: (await response.body.json()) as Record<string, unknown> };
    };
    assert.is((await knobs('PUT', '{"ttftMs": 1}')).body.chunks, 3);
    assert.is((await knobs('PUT', '{"ttftMs": 2, "nope": 1}')).status, 400);
    assert.is((await knobs('PUT', 'no json')).status, 400);
    assert.is((await knobs('GET')).body.ttftMs, 1);
    const reset = (await knobs('DELETE')).body;
    assert.is(reset.ttftMs, 0);
    assert.is(reset.chunks, 3);
  }));

test('the documentation names every knob with its default', async () => {
  const page = await readFile('docs/simulators.md', 'utf8');
  for (const defaults of [gatewayDefaults, ragDefaults]) {
    for (const [name, value] of Object.entries(defaults)) {
      const row = new RegExp(`^\\| \`${name}\` \\|[^|]*\\| \`?([^|]*?)\`? \\|`, 'm').exec(page);
      const expected = value === null ? 'off' : typeof value === 'string' ? value : JSON.stringify(value);
      assert.ok(row !== null, `${name} is not documented`);
      if (!(name === 'script' || name === 'status')) assert.is(row[1], expected, name);
    }
  }
});

test.run();
