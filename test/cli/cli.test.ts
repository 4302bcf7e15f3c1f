import assert from 'node:assert/strict';
import { type StdioOptions, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import { addToken } from '../../server/tokens/token-file.js';
import { atService, type ServiceUnderTest } from '../service/at-service.js';

const test = suite('the command line');
const main = fileURLToPath(new URL('../../server/cli/main.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'worker-service-cli-'));
const file = join(directory, 'tokens.json');
const token = addToken(file, { name: 'cli', scopes: ['execute', 'read'] });
const content = 'def f():\n    return 1\n';
let service: ServiceUnderTest;

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(
  args: string[],
  { input = '', env = {}, program = main }: { input?: string; env?: object; program?: string } = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...args], {
    env: { ...process.env, WORKER_SERVICE_URL: service.url, WORKER_SERVICE_TOKEN: token, ...env },
  });
  const ended = { stdout: '', stderr: '' };
  child.stdout.on('data', (text) => {
    ended.stdout += text;
  });
  child.stderr.on('data', (text) => {
    ended.stderr += text;
  });
  child.stdin.end(input);
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, ...ended })));
}

test.before(async () => {
  service = await atService(`server: {tokens_file: ${file}}\ngateway: {max_attempts: 1}`);
});
test.before.each(() => service.knobs({ output: JSON.stringify({ status: 'completed', content }) }));
test.after(async () => {
  await service.close();
  rmSync(directory, { recursive: true });
});

test('execute gives a pipe the content and nothing else', async () => {
  const { code, stdout, stderr } = await run([
    'execute',
    '--domain',
    'code-general',
    'x',
    '--task-id',
    'one',
  ]);
  assert.deepEqual([code, stdout], [0, content]);
  assert.match(stderr, /^one: \d+ tokens, [\d.]+ ms, gemma3:12b\n$/);
});

test('execute reads the task from stdin, and writes the content to a file', async () => {
  const output = join(directory, 'out.py');
  const context = join(directory, 'context.txt');
  writeFileSync(context, 'Use tabs.');
  const args = ['execute', '--domain', 'code-general', '--tier', 'tiny', '-'];
  const { code, stdout } = await run([...args, '--output', output, '--context', context], {
    input: 'from stdin',
  });
  assert.deepEqual([code, stdout, readFileSync(output, 'utf8')], [0, '', content]);
  const [seen] = (await service.stats()).requests.slice(-1);
  const prompt = JSON.stringify(seen.body);
  assert.ok(prompt.includes('from stdin') && prompt.includes('Use tabs.'));
});

test('a file that cannot be written is told of before the task is executed, or with the task that has it', async () => {
  await service.knobs({});
  const execute = ['execute', '--domain', 'code-general', 'x', '--output'];
  const before = (await service.stats()).calls;
  const nowhere = await run([...execute, join(directory, 'nowhere', 'out.py')]);
  assert.equal(nowhere.code, 2);
  assert.match(nowhere.stderr, /^ENOENT.*nowhere/);
  assert.equal((await service.stats()).calls, before);
  for (const [file, said] of [
    [directory, /is a directory/],
    ['', /is empty/],
  ] as const) {
    const early = await run([...execute, file]);
    assert.equal(early.code, 2);
    assert.match(early.stderr, said);
  }
  assert.equal((await service.stats()).calls, before);
  // That a disk is full shows only when it is written.
  const late = await run([...execute, '/dev/full', '--task-id', 'unwritten']);
  assert.equal(late.code, 2);
  assert.match(late.stderr, /^unwritten is completed, but not written: ENOSPC.*`tasks get unwritten`/);
  assert.equal((await run(['tasks', 'get', 'unwritten'])).code, 0);
});

test('a reader that goes away, or a disk that is full, ends it without a stack', async () => {
  const args = ['execute', '--domain', 'code-general', 'a function'];
  const spawned = (stdio: StdioOptions) => {
    const child = spawn(process.execPath, [main, ...args], {
      env: { ...process.env, WORKER_SERVICE_URL: service.url, WORKER_SERVICE_TOKEN: token },
      stdio,
    });
    let stderr = '';
    child.stderr!.on('data', (text) => {
      stderr += text;
    });
    child.stdout?.destroy();
    return new Promise<[number | null, string]>((resolve) =>
      child.on('close', (code) => resolve([code, stderr])),
    );
  };
  const full = openSync('/dev/full', 'w');
  for (const [stdio, said] of [
    [['ignore', 'pipe', 'pipe'], /^(?!.*EPIPE)/s],
    [['ignore', full, 'pipe'], /ENOSPC/],
  ] as const) {
    const [code, stderr] = await spawned([...stdio]);
    assert.deepEqual([code, /\n {4}at /.test(stderr)], [1, false], stderr);
    assert.match(stderr, said);
  }
  closeSync(full);
});

test('each end has its exit code', async () => {
  const execute = ['execute', '--domain', 'code-general', 'x'];
  await service.knobs({ output: JSON.stringify({ status: 'needs_clarification', questions: ['Which?'] }) });
  const declined = await run(execute);
  assert.deepEqual([declined.code, declined.stdout], [4, '']);
  assert.match(declined.stderr, /needs_clarification.*\n {2}Which\?\n$/);
  await service.knobs({ status: 400 });
  const failed = await run(execute);
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /gateway_error/);
  const refused = await run(['execute', '--domain', 'poetry', 'x']);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^unknown_domain: domain must be one of/);
  assert.equal((await run(execute, { env: { WORKER_SERVICE_TOKEN: 'wrong' } })).code, 1);
  const away = await run(execute, { env: { WORKER_SERVICE_URL: 'http://127.0.0.1:9' } });
  assert.equal(away.code, 3);
  assert.match(away.stderr, /cannot be reached: ECONNREFUSED/);
  const address = await run(execute, { env: { WORKER_SERVICE_URL: 'localhost:9' } });
  assert.deepEqual([address.code, address.stderr], [2, 'localhost:9 is no http or https URL\n']);
  for (const wrong of [['execute', 'x'], ['nothing'], ['tasks', 'get'], ['execute', '--domian', 'x', 'y']])
    assert.equal((await run(wrong)).code, 2, wrong.join(' '));
});

test('tasks shows and cancels', async () => {
  await run(['execute', '--domain', 'code-general', 'x', '--task-id', 'two']);
  const shown = await run(['tasks', 'get', 'two']);
  assert.equal(JSON.parse(shown.stdout).outcome.output.content, content);
  assert.equal(JSON.parse((await run(['tasks', 'receipt', 'two'])).stdout).task_id, 'two');
  const ended = await run(['tasks', 'cancel', 'two']);
  assert.equal(ended.code, 1);
  assert.match(ended.stderr, /task_conflict: the task has ended/);
  assert.equal((await run(['tasks', 'get', 'nobody'])).code, 1);
});

test('check prints the configuration that holds, or what is wrong', async () => {
  const config = join(directory, 'config.yaml');
  writeFileSync(config, 'queues: {tiny: {concurrency: 7}}');
  const good = await run(['check', '--config', config], { env: { MODEL_GATEWAY_API_KEY: 's3cret' } });
  assert.equal(good.code, 0);
  assert.match(good.stdout, /concurrency: 7/);
  assert.ok(!good.stdout.includes('s3cret'));
  writeFileSync(config, 'queues: {tiny: {concurrency: 0}}');
  const bad = await run(['check', '--config', config]);
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /queues\.tiny\.concurrency/);
});

test('check and serve tell of all files that are missing, and end with 1', async () => {
  const env = {
    TLS_CERT_FILE: '/nowhere/cert.pem',
    TLS_KEY_FILE: '/nowhere/key.pem',
    PROMPTS_DIR: '/nowhere',
  };
  for (const command of ['check', 'serve']) {
    const { code, stderr } = await run([command], { env });
    assert.equal(code, 1, command);
    for (const name of Object.keys(env)) assert.match(stderr, new RegExp(`^  ${name}: .*/nowhere`, 'm'));
  }
});

test('what starts the service takes its own arguments, and no others', async () => {
  const program = fileURLToPath(new URL('../../server/main.js', import.meta.url));
  const config = join(directory, 'config.yaml');
  writeFileSync(config, 'queues: {tiny: {concurrency: 7}}');
  const good = await run(['--check-config', `--config=${config}`], { program });
  assert.deepEqual([good.code, good.stderr], [0, '']);
  assert.match(good.stdout, /concurrency: 7/);
  const help = await run(['--help'], { program });
  assert.equal(help.code, 0);
  assert.match(help.stdout, /--check-config/);
  for (const [args, fault] of [
    [['--chek-config'], /'--chek-config'/],
    [['serve', '--config', config, 'now'], /'now'/],
    [['--check-config=yes'], /'--check-config'/],
    [['--config'], /'--config <value>'/],
  ] as const) {
    const { code, stdout, stderr } = await run([...args], { program });
    assert.deepEqual([code, stdout], [2, ''], args.join(' '));
    assert.match(stderr, fault);
    assert.match(stderr, /Usage:/);
  }
});

test('the help names every command, and the completion knows them', async () => {
  const { stdout } = await run(['--help']);
  const { stdout: script } = await run(['completion']);
  for (const name of [
    'serve',
    'execute',
    'tasks',
    'dead-letters',
    'tokens',
    'bench',
    'check',
    'completion',
  ]) {
    assert.match(stdout, new RegExp(`^  ${name}\\b`, 'm'));
    assert.ok(script.includes(name));
  }
  assert.match(stdout, /Examples:/);
  const bash = spawn('bash', [
    '-c',
    `${script}\nCOMP_WORDS=(worker-service ta); COMP_CWORD=1; _worker_service; echo "$COMPREPLY"
COMP_WORDS=(worker-service execute --out); COMP_CWORD=2; _worker_service; echo "$COMPREPLY"`,
  ]);
  let completed = '';
  for await (const text of bash.stdout) completed += text;
  assert.equal(completed, 'tasks\n--output\n');
});

test('serve runs the service until it is told to stop', async () => {
  const child = spawn(process.execPath, [main, 'serve'], {
    env: {
      ...process.env,
      DATA_DIR: join(directory, 'data'),
      SERVICE_PORT: '0',
      HOST: '127.0.0.1',
      WORKERS: '2',
    },
  });
  let port: string | undefined;
  for await (const text of child.stdout) {
    port = /"event":"listening"[^\n]*?"port":(\d+)[^\n]*"workers"/.exec(String(text))?.[1];
    if (port !== undefined) break;
  }
  child.stdout.resume();
  const { code } = await run(['execute', '--domain', 'code-general', 'x'], {
    env: { WORKER_SERVICE_URL: `http://127.0.0.1:${port}` },
  });
  assert.equal(code, 0);
  child.kill('SIGTERM');
  assert.equal(await new Promise((resolve) => child.on('exit', resolve)), 0);
});

test.run();
