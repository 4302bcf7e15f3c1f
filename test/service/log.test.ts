import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import { suite } from 'uvu';
import { freePort, gone } from '../../bench/servers/processes.js';
import { traceContextOf, traceIdOf } from '../../contracts/trace-context.js';
import { atCluster, type ClusterUnderTest } from '../cluster/at-cluster.js';
import {
  aTask,
  atService,
  call,
  oneTier,
  onlyTiny,
  type ServiceUnderTest,
  sleep,
  until,
} from './at-service.js';

const test = suite('logs');
let service: ServiceUnderTest | undefined;
const serviceMain = fileURLToPath(new URL('../../server/main.js', import.meta.url));
const nowhere = 'http://127.0.0.1:9/v1';
const json = { 'content-type': 'application/json' };
const secret = 'k3y-of-the-gateway';
const marker = 'the-secret-recipe';
const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

test.after.each(async () => {
  await service?.close();
  service = undefined;
});

/** Failures of every kind in which task, model, gateway or RAG service say something. */
async function provoke(under: ServiceUnderTest): Promise<void> {
  const task = () => aTask({ description: marker, context: undefined, tier: 'tiny' });
  const answers: object[] = [
    {},
    { status: 400, body: JSON.stringify({ error: { message: `no: ${marker}` } }) },
    { status: 503, body: marker },
    { output: JSON.stringify({ status: 'refused', reason: 'out_of_domain', message: marker }) },
    { output: JSON.stringify({ status: 'needs_clarification', questions: [marker] }) },
    { output: `{"content": ["${marker}"]}` },
    { errorInStreamAfterChunks: 1 },
    { cutAfterChunks: 1 },
  ];
  for (const answer of answers) {
    await under.knobs(answer);
    await under.execute(task());
  }
  await under.ragKnobs({ malformed: 'not_json' });
  await under.knobs({});
  await under.execute(task());
  await call(`${under.url}/execute`, 'POST', `{"description": "${marker}`, json);
}

const quick = `${oneTier}\ngateway: {max_attempts: 1, backoff_base_ms: 1, backoff_max_ms: 2}`;

test('neither secrets nor what tasks and models say are logged', async () => {
  service = await atService(quick, { MODEL_GATEWAY_API_KEY: secret });
  await provoke(service);
  const logged = JSON.stringify(service.logged);
  assert.ok(service.logged.length >= 9);
  assert.match(logged, /the gateway answered 400/);
  for (const text of [marker, secret]) assert.ok(!logged.includes(text), logged);
});

test('for debugging they are, but for the secrets', async () => {
  service = await atService(`${quick}\nlog: {prompts: true}`, { MODEL_GATEWAY_API_KEY: secret });
  await provoke(service);
  const of = (event: string) =>
    service!.logged.filter((line) => (line as { event: string }).event === event) as Record<string, string>[];
  assert.ok(of('prompt').every(({ prompt }) => prompt!.includes(marker)));
  assert.ok(of('output').some(({ output }) => JSON.parse(output!).content.length > 0));
  assert.ok(!JSON.stringify(service.logged).includes(secret));
});

test('a trace goes through: to the RAG service, to the gateway, and into the line of the task', async () => {
  service = await atService();
  const task = aTask({ context: undefined });
  await service.execute(task, { traceparent, tracestate: 'vendor=1' });
  const line = service.logged.find((each) => (each as { task_id?: string }).task_id === task.task_id);
  assert.equal((line as { trace_id: string }).trace_id, traceIdOf(traceparent));
  const [seen] = (await service.stats()).requests.filter(({ method }) => method === 'POST').slice(-1);
  assert.deepEqual([seen.headers.traceparent, seen.headers.tracestate], [traceparent, 'vendor=1']);
  const [asked] = (await service.ragStats()).requests.slice(-1);
  assert.deepEqual([asked.headers.traceparent, asked.headers.tracestate], [traceparent, 'vendor=1']);
  const other = aTask();
  await service.execute(other, { traceparent: 'x' });
  const [last] = (await service.stats()).requests.slice(-1);
  assert.equal(last.headers.traceparent, undefined);
});

test('a trace context that is not valid is passed over', () => {
  assert.deepEqual(traceContextOf(traceparent, ''), { traceparent });
  for (const tracestate of ['x'.repeat(600), 'a=1\r\nx-injected: 1', 'a=ü'])
    assert.deepEqual(traceContextOf(traceparent, tracestate), { traceparent });
  const wrong = ['', 'x', traceparent.slice(0, -1), `ff${traceparent.slice(2)}`, `${traceparent}0`];
  wrong.push(
    `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`,
    `00-4bf92f3577b34da6a3ce929d0e0e4736-${'0'.repeat(16)}-01`,
  );
  for (const text of wrong) assert.equal(traceContextOf(text, ''), undefined, text);
  assert.equal(traceIdOf(`01${traceparent.slice(2)}-more`), '4bf92f3577b34da6a3ce929d0e0e4736');
});

test('the level changes while the node runs, in all of its processes', async () => {
  const cluster = await atCluster(onlyTiny(10, 60));
  try {
    const put = (body: string) =>
      request(`${cluster.url}/log-level`, { method: 'PUT', headers: json, body }).then(async (answer) => {
        await answer.body.dump();
        return answer.statusCode;
      });
    assert.equal(await put('{"level": "loud"}'), 400);
    assert.equal(await put('level'), 400);
    assert.equal(await put(`{"level": "${'x'.repeat(2000)}"}`), 413);
    // Each connection is to one of the two workers.
    const levels = async () => {
      const answers = await Promise.all(
        Array.from({ length: 12 }, () =>
          call(`${cluster.url}/log-level`, 'GET', undefined, { connection: 'close' }),
        ),
      );
      return [...new Set(answers.map(({ body }) => body.level))];
    };
    const execute = async () => {
      const task = aTask();
      const { status } = await call(`${cluster.url}/execute`, 'POST', JSON.stringify(task), json);
      assert.equal(status, 200);
      return `"task_id":"${task.task_id}"`;
    };
    assert.deepEqual(await levels(), ['info']);
    assert.equal(await put('{"level": "error"}'), 200);
    await until(async () => (await levels()).join() === 'error', 'no worker logs info');
    const unlogged = await execute();
    assert.equal(await put('{"level": "info"}'), 200);
    await until(async () => (await levels()).join() === 'info', 'all workers log info');
    const logged = await execute();
    await until(() => cluster.log().includes(logged), 'the line of the task');
    assert.ok(!cluster.log().includes(unlogged));
  } finally {
    await cluster.close();
  }
});

/** The exit code after SIGTERM; undefined when it does not end. */
async function stopped({ primary, exited }: Pick<ClusterUnderTest, 'primary' | 'exited'>) {
  primary.kill('SIGTERM');
  const code = await Promise.race([exited, setTimeout(30_000, undefined, { ref: false })]);
  primary.kill('SIGKILL');
  await exited;
  return code;
}

test('a node whose log nobody reads any more goes on, and ends when it is told to', async () => {
  // Without a task, the first line that cannot be written is one of those that are left when a process exits.
  for (const tasks of [0, 20]) {
    const cluster = await atCluster(onlyTiny(10, 60));
    try {
      const workers = cluster.workers();
      cluster.primary.stdout!.destroy();
      for (let i = 0; i < tasks; i++) {
        const { status } = await call(`${cluster.url}/execute`, 'POST', JSON.stringify(aTask()), json);
        assert.equal(status, 200);
      }
      assert.deepEqual(cluster.workers(), workers);
      assert.equal(await stopped(cluster), 0);
      await gone(workers);
    } finally {
      await cluster.close();
    }
  }
});

test('so does one whose log is on a full disk', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'worker-service-'));
  const full = openSync('/dev/full', 'w');
  const port = await freePort();
  const settings = {
    WORKERS: '1',
    SERVICE_PORT: String(port),
    DATA_DIR: directory,
    MODEL_GATEWAY_URL: nowhere,
  };
  const primary = spawn(process.execPath, [serviceMain], {
    env: { PATH: process.env.PATH, ...settings },
    stdio: ['ignore', full, 'inherit'],
  });
  closeSync(full);
  const exited = once(primary, 'exit').then(([code]) => code as number | null);
  try {
    const url = `http://127.0.0.1:${port}`;
    const answers = () => call(`${url}/health/live`, 'GET').then(Boolean, () => false);
    await until(answers, 'it answers');
    const answer = await call(`${url}/execute`, 'POST', JSON.stringify(aTask({ tier: 'tiny' })), json);
    assert.equal(answer.body.code, 'gateway_unavailable');
    await sleep(300); // so that the line has been refused
    assert.equal(await stopped({ primary, exited }), 0);
  } finally {
    primary.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
});

test('lines that a reader is too slow for are dropped, and counted when he reads on', async () => {
  const program = `
    import { openLog } from ${JSON.stringify(new URL('../../server/log.js', import.meta.url).href)};
    const log = openLog({ log: { level: 'info' }, server: { workers: 1 } });
    for (let number = 0; number < 300; number++) {
      log.info({ number, padding: 'x'.repeat(100_000) });
      await new Promise((resolve) => setTimeout(resolve));
    }
    process.stderr.write('written');
    process.stdin.once('data', () => {
      log.info({ event: 'last' });
      process.stdin.destroy();
    });
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program]);
  const exited = once(child, 'exit');
  await once(child.stderr, 'data');
  let output = '';
  child.stdout.on('data', (text: Buffer) => {
    output += text.toString();
  });
  await until(() => output.includes('log_lines_dropped'), 'the count of the lines that were dropped');
  child.stdin.end('go on');
  assert.deepEqual((await exited)[0], 0);
  const lines = output
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const kept = lines.filter(({ number }) => number !== undefined);
  const { count } = lines.find(({ event }) => event === 'log_lines_dropped');
  assert.equal(kept.length + count, 300);
  // What fits into 16 MiB, and what the pipe holds.
  assert.ok(kept.length > 150 && kept.length < 200, String(kept.length));
  assert.equal(lines.at(-1).event, 'last');
});

test('a fatal line, and all before it, is written before the process goes on', async () => {
  const program = `
    import { openLog } from ${JSON.stringify(new URL('../../server/log.js', import.meta.url).href)};
    const log = openLog({ log: { level: 'info' }, server: { workers: 1 } });
    log.info({ event: 'first', text: 'größer' });
    log.fatal({ event: 'last' });
    process.kill(process.pid, 'SIGKILL');
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program]);
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await once(child, 'close');
  const lines = output
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    lines.map(({ level, event, text }) => [level, event, text]),
    [
      ['info', 'first', 'größer'],
      ['fatal', 'last', undefined],
    ],
  );
});

test.run();
