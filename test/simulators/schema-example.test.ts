import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { outputs } from '../../bench/simulators/outputs.js';
import { exampleFor } from '../../bench/simulators/schema-example.js';
import { Schema } from '../../contracts/typebox.js';

test('a value is made that is valid for the schema, whatever the candidate', () => {
  fc.assert(
    fc.property(aSchema(), fc.jsonValue(), (schema, candidate) => {
      const value = exampleFor(schema, candidate);
      assert.ok(Schema.Check(schema, value), `${JSON.stringify(schema)}\n${JSON.stringify(value)}`);
    }),
    { numRuns: 500 },
  );
});

test('a candidate that is valid comes back unchanged', () => {
  const schema = {
    type: 'object',
    properties: {
      status: { type: 'string' },
      content: { type: 'string', minLength: 1 },
      artifacts: { type: 'array', items: { type: 'object', required: ['path'] } },
    },
    required: ['status', 'content'],
  };
  assert.equal(exampleFor(schema, outputs['ui-design']), outputs['ui-design']);
});

test('of several outcomes the one with the same status is taken', () => {
  const outcome = (status: string, field: string) => ({
    type: 'object',
    properties: { status: { const: status }, [field]: { type: 'string' }, extra: { type: 'integer' } },
    required: ['status', field, 'extra'],
    additionalProperties: false,
  });
  const schema = { anyOf: [outcome('refused', 'reason'), outcome('completed', 'content')] };
  assert.equal(exampleFor(schema, outputs['code-general']), {
    status: 'completed',
    content: outputs['code-general'].content,
    extra: 0,
  });
});

test('references inside the schema are followed', () => {
  const schema = {
    $defs: { name: { type: 'string', minLength: 3 } },
    type: 'object',
    properties: { names: { type: 'array', minItems: 2, items: { $ref: '#/$defs/name' } } },
    required: ['names'],
  };
  const value = exampleFor(schema, {}) as { names: string[] };
  assert.is(value.names.length, 2);
  assert.ok(value.names.every((name) => name.length >= 3));
});

function aSchema(): fc.Arbitrary<Record<string, unknown>> {
  const bounds = fc.tuple(fc.integer({ min: -50, max: 50 }), fc.integer({ min: 3, max: 50 }));
  return fc.letrec<{ schema: Record<string, unknown> }>((tie) => ({
    schema: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constant({ type: 'boolean' }),
      fc.constant({ type: ['string', 'null'] }),
      bounds.map(([minimum, width]) => ({ type: 'integer', minimum, maximum: minimum + width })),
      bounds.map(([exclusiveMinimum, width]) => ({
        type: 'number',
        exclusiveMinimum,
        maximum: exclusiveMinimum + width,
      })),
      fc
        .tuple(fc.nat(5), fc.nat(9))
        .map(([minLength, more]) => ({ type: 'string', minLength, maxLength: minLength + more })),
      fc.constantFrom<Record<string, unknown>>(
        { enum: ['a', 2] },
        { const: 'only' },
        { type: 'integer', multipleOf: 5, minimum: 3 },
      ),
      fc.tuple(tie('schema'), fc.nat(3)).map(([items, minItems]) => ({ type: 'array', items, minItems })),
      fc.array(tie('schema'), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
      fc.dictionary(fc.constantFrom('status', 'content', 'x', 'y'), tie('schema')).map((properties) => ({
        type: 'object',
        properties,
        required: Object.keys(properties),
        additionalProperties: false,
      })),
    ),
  })).schema;
}

test.run();
