import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import { loadConfig, type Problem } from '../../config/load.js';
import { namedFileProblems } from '../../server/named-files.js';
import { domains, errorOf, withFile } from '../config/a-config.js';

const test = suite('the files that a configuration names');
const tls = (name: string) =>
  fileURLToPath(new URL(`../../../test/service/tls/${name}.pem`, import.meta.url));
let directory: string;
const at = (name: string) => join(directory, name);

test.before(() => {
  directory = mkdtempSync(join(tmpdir(), 'named-files-'));
});
test.after(() => rmSync(directory, { recursive: true }));

function problemsOf(
  yaml: string,
  env: Record<string, string> = {},
  vocabularies?: string,
): readonly Problem[] {
  const check: typeof namedFileProblems = (config) => namedFileProblems(config, vocabularies);
  return errorOf(() => withFile(yaml, (path) => loadConfig({ path, env, domains, check })))?.problems ?? [];
}

test('nothing is wrong with those that come with the service', () => {
  assert.deepEqual(problemsOf(''), []);
  assert.deepEqual(problemsOf(`server: {tls_cert_file: ${tls('cert')}, tls_key_file: ${tls('key')}}`), []);
});

test('all that are missing or wrong are told at once, under the field or the variable that names them', () => {
  writeFileSync(at('tokens.json'), 's3cret');
  writeFileSync(at('cert.pem'), 's3cret');
  mkdirSync(at('prompts'));
  writeFileSync(at('prompts/one.md'), 'no part of it');
  const problems = problemsOf(
    `
server: {tls_cert_file: ${at('cert.pem')}}
rabbitmq: {host: localhost, tls_ca_file: ${at('ca.pem')}, tls_key_file: ${at('cert.pem')}}
workers: {code-general: {prompt_template: one.md}}
embedded: {documents: ${at('documents')}}`,
    { API_TOKENS: at('tokens.json'), TLS_KEY_FILE: at('key.pem'), PROMPTS_DIR: at('prompts') },
  );
  const expected: [path: string, found: string, expected: RegExp][] = [
    ['API_TOKENS', at('tokens.json'), /a file of tokens/],
    ['server.tls_cert_file', at('cert.pem'), /a certificate chain in PEM/],
    ['TLS_KEY_FILE', at('key.pem'), /a private key in PEM/],
    ['rabbitmq.tls_ca_file', at('ca.pem'), /certificates in PEM/],
    ['rabbitmq.tls_key_file', at('cert.pem'), /a private key in PEM/],
    ['workers.code-general.prompt_template', at('prompts/one.md'), /a prompt template/],
    ['workers.code-vision.prompt_template', at('prompts/workers/code_vision.md'), /a prompt template/],
    ['workers.code-embedded.prompt_template', at('prompts/workers/code_embedded.md'), /a prompt template/],
    ['workers.documentation.prompt_template', at('prompts/workers/documentation.md'), /a prompt template/],
    ['workers.ui-design.prompt_template', at('prompts/workers/ui_design.md'), /a prompt template/],
    ['embedded.documents', at('documents'), /a directory/],
  ];
  assert.deepEqual(
    problems.map(({ path }) => path),
    expected.map(([path]) => path),
  );
  for (const [index, [, found, what]] of expected.entries()) {
    assert.ok(problems[index]!.found.includes(found), problems[index]!.found);
    assert.match(problems[index]!.expected, what);
  }
  assert.equal(JSON.stringify(problems).includes('s3cret'), false);
});

test('a vocabulary that was not compiled is told for each model that needs it', () => {
  const problems = problemsOf('', {}, at('vocabularies'));
  const found = Object.fromEntries(problems.map(({ path, found }) => [path, found]));
  assert.match(
    found['models["gemma3:12b"].tokenizer']!,
    /^gemma3, whose file .*vocabularies.gemma3\.bin is missing/,
  );
  assert.ok(problems.length > 1 && Object.keys(found).length === problems.length);
});

test('a directory of templates that is missing is one problem', () => {
  assert.deepEqual(
    problemsOf('', { PROMPTS_DIR: at('nowhere') }).map(({ path }) => path),
    ['PROMPTS_DIR'],
  );
});

test('a template that is not UTF-8 is found', () => {
  const file = at('prompts/latin1.md');
  const text = readFileSync(new URL('../../../prompts/workers/code_general.md', import.meta.url), 'utf8');
  writeFileSync(file, Buffer.concat([Buffer.from(text), Buffer.from([0xe4, 0x0a])]));
  const [problem] = problemsOf('workers: {code-general: {prompt_template: latin1.md}}', {
    PROMPTS_DIR: at('prompts'),
  });
  assert.match(problem!.found, /latin1\.md: must be UTF-8/);
});

test('a key that is not that of the certificate is found', () => {
  const [problem, ...others] = problemsOf(
    `server: {tls_cert_file: ${tls('cert')}, tls_key_file: ${tls('other-key')}}`,
  );
  assert.deepEqual([problem?.path, others], ['server.tls_key_file', []]);
  assert.match(problem!.found, /other-key\.pem/);
  assert.match(problem!.expected, /the key of .*cert\.pem/);
});

test('files that nobody would read may be missing', () => {
  const yaml = `rabbitmq: {tls_ca_file: ${at('ca.pem')}}\nembedded: {documents: ${at('documents')}}`;
  assert.deepEqual(problemsOf(yaml, { RAG_SERVICE_URL: 'http://localhost:1' }), []);
});

test.run();
