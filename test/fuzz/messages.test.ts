import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { createGeneratorSync, type JsonSchema } from 'json-schema-faker';
import { suite } from 'uvu';
import { parse } from 'yaml';
import { parseEvent } from '../../contracts/parse-event.js';
import { effort, seed, withinReason } from './effort.js';

const test = suite(`messages generated from contracts/asyncapi.yaml, seed ${seed}`);
const count = 300 * effort;
const document = parse(readFileSync(new URL('../../../contracts/asyncapi.yaml', import.meta.url), 'utf8'));
const schemaOf = (name: string) => {
  const { payload } = document.components.messages[name];
  return withinReason({ ...payload, components: document.components }) as JsonSchema;
};
const generated = (name: string) => {
  const faker = createGeneratorSync({ seed, optionalsProbability: 0.4 });
  return Array.from({ length: count }, () => faker.generate(schemaOf(name)) as Record<string, unknown>);
};
const bytesOf = (value: unknown) => Buffer.from(JSON.stringify(value));

test('each of them is understood as a task, in structured mode and bare', () => {
  const modes: [message: string, contentType: string][] = [
    ['TaskReady', 'application/cloudevents+json'],
    ['TaskReadyBare', 'application/json'],
  ];
  for (const [message, contentType] of modes) {
    for (const event of generated(message)) {
      const { parsed } = parseEvent({ body: bytesOf(event), contentType, headers: {} });
      assert.equal(parsed.kind, 'task', `${JSON.stringify(event)}\n${JSON.stringify(parsed)}`);
    }
  }
});

test('whatever becomes of their bytes and headers, there is an answer, and it repeats nothing of them', () => {
  const events = generated('TaskReady').map(bytesOf);
  const types = ['application/cloudevents+json', 'application/json', 'text/plain', '', undefined];
  const header = fc.constantFrom(
    'cloudEvents:id',
    'ce-type',
    'cloudEvents_specversion',
    'ce_time',
    'x',
    '__proto__',
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...events),
      fc.array(fc.tuple(fc.nat(5000), fc.nat(255)), { maxLength: 4 }),
      fc.nat(5000),
      fc.constantFrom(...types),
      fc.dictionary(header, fc.oneof(fc.string(), fc.constant('1.0')), { maxKeys: 4 }),
      (event, changes, cut, contentType, headers) => {
        const body = Uint8Array.from(event.subarray(0, cut % 3 === 0 ? cut : event.length));
        for (const [at, byte] of changes) if (body.length > 0) body[at % body.length] = byte;
        const { parsed } = parseEvent({ body, contentType, headers });
        assert.ok(['task', 'invalid', 'malformed'].includes(parsed.kind));
        if (parsed.kind === 'invalid') assert.ok(parsed.violations.length > 0);
      },
    ),
    { numRuns: 2000 * effort, seed },
  );
});

test.run();
