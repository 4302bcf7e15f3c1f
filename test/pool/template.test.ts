import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { checkTemplate } from '../../pool/template.js';

const test = suite('a template of a practitioner');

for (const user of [
  '{{description}}',
  '{{ description }}',
  '{{{description}}}',
  '{{& description}}',
  '{{#context}}{{context}}{{/context}}{{=<% %>=}}<% description %>',
]) {
  test(`may say what the task is as ${user}`, () => checkTemplate('You are helpful.', user));
}

for (const user of ['Do the task.', '{{! {{description}} }}', '{{descriptions}}']) {
  test(`must say what the task is, unlike ${user}`, () =>
    assert.throws(() => checkTemplate('You are helpful.', user), /must contain \{\{description\}\}/));
}

test('may have comments in its system part', () => checkTemplate('{{! reviewed }}You.', '{{description}}'));

test('may have nothing of a task in its system part, inside a section neither', () => {
  for (const system of [
    '{{task_id}}',
    '{{#domain}}{{description}}{{/domain}}',
    '{{^tier}}{{context}}{{/tier}}',
  ])
    assert.throws(() => checkTemplate(system, '{{description}}'), /the system part may use only/);
});

test.run();
