import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startSimulators } from '../../bench/simulators/start.js';

const main = fileURLToPath(new URL('../../bench/simulators/main.js', import.meta.url));

test('both simulators start in one process with their knobs, and close more than once', async () => {
  const simulators = await startSimulators({
    kinds: ['gateway', 'rag'],
    knobs: { gateway: { status: 503 }, rag: { context: 'given' } },
  });
  const body = '{"model": "m", "prompt": "p"}';
  assert.is((await request(`${simulators.gatewayUrl}/generate`, { method: 'POST', body })).statusCode, 503);
  const found = await request(`${simulators.ragUrl}/query`, { method: 'POST', body: '{"query": "q"}' });
  assert.is(((await found.body.json()) as { context: string }).context, 'given');
  await Promise.all([simulators.close(), simulators.close()]);
  await simulators.close();
  assert.equal(await simulators.exited, { code: 0, signal: null });
});

test('one kind alone has only its own url, at the port that is asked for', async () => {
  const first = await startSimulators({ kinds: ['rag'] });
  assert.is(first.gatewayUrl, undefined);
  const port = Number(new URL(first.ragUrl!).port);
  await first.close();
  const second = await startSimulators({ kinds: ['rag'], ragPort: port });
  assert.is(second.ragUrl, first.ragUrl);
  await second.close();
});

test('a child that cannot start rejects with what it said', async () => {
  const unknownKnob = { kinds: ['gateway'] as const, knobs: { gateway: { nope: 1 } as object } };
  await rejects(
    startSimulators(unknownKnob),
    /did not start: the process ended with code 1\nnope: unknown knob/,
  );
  await rejects(startSimulators({ kinds: ['rag'], documents: '/does/not/exist' }), /ENOENT/);
  const running = await startSimulators({ kinds: ['gateway'] });
  const port = Number(new URL(running.gatewayUrl!).port);
  await rejects(startSimulators({ kinds: ['gateway'], port }), /EADDRINUSE/);
  await running.close();
});

test('a simulator that is killed is seen by exited', async () => {
  const simulators = await startSimulators({ kinds: ['gateway'] });
  process.kill(simulators.pid, 'SIGKILL');
  assert.equal(await simulators.exited, { code: null, signal: 'SIGKILL' });
  await simulators.close();
});

test('the simulators end when their parent is killed', async () => {
  const source = `
    const { startSimulators } = await import(${JSON.stringify(new URL('../../bench/simulators/start.js', import.meta.url))});
    console.log((await startSimulators({ kinds: ['gateway'] })).pid);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [bytes] = await once(parent.stdout, 'data');
  const pid = Number(String(bytes));
  assert.ok(isAlive(pid));
  parent.kill('SIGKILL');
  await gone(pid);
});

test('on the command line it prints one line, and ends with SIGTERM or with stdin', async () => {
  for (const end of ['SIGTERM', 'stdin'] as const) {
    const child = spawn(process.execPath, [main, 'both', '--with-parent'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const [bytes] = await once(child.stdout, 'data');
    const listening = JSON.parse(String(bytes));
    assert.is(listening.event, 'listening');
    assert.match(listening.gateway, /^http:\/\/127\.0\.0\.1:\d+\/api\/v1$/);
    assert.is((await request(`${listening.rag}/health`)).statusCode, 200);
    const exit = once(child, 'exit');
    if (end === 'stdin') child.stdin.end();
    else child.kill('SIGTERM');
    assert.equal(await exit, [0, null]);
  }
});

test('wrong arguments are refused with the usage', async () => {
  for (const args of [[], ['nothing'], ['both', '--port', 'x'], ['both', '--knobs', '{"ttftMs": 1}']]) {
    const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    const said = once(child.stderr, 'data');
    const [code] = await once(child, 'exit');
    assert.is(code, 1);
    assert.match(String((await said)[0]), 'Usage');
  }
});

async function rejects(promise: Promise<unknown>, message: RegExp): Promise<void> {
  const error: unknown = await promise.then(
    () => assert.unreachable(),
    (caught: unknown) => caught,
  );
  assert.match((error as Error).message, message);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function gone(pid: number): Promise<void> {
  const limit = Date.now() + 30_000;
  while (isAlive(pid)) {
    if (Date.now() > limit) throw new Error(`${pid} is still alive`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test.run();
