import assert from 'node:assert/strict';
import { Agent, request } from 'undici';
import { suite } from 'uvu';
import { childrenOf } from '../../bench/servers/processes.js';
import { aTask, call, onlyTiny, sleep, until } from '../service/at-service.js';
import { atCluster, type ClusterUnderTest } from './at-cluster.js';

const test = suite('a cluster of two workers');
let under: ClusterUnderTest;

test.before(async () => {
  // On a slow machine the first tasks hold their slots for long: with less time those who wait are refused.
  under = await atCluster(`${onlyTiny(4, 120)}\ngateway: {max_attempts: 1}`);
});
test.after(() => under.close());
test.before.each(() => under.knobs({}));

const json = { 'content-type': 'application/json' };

/** On a connection of its own, so that the kernel spreads the requests over the workers. */
async function execute(task: object): Promise<{ status: number; text: string }> {
  const dispatcher = new Agent({ pipelining: 0 });
  try {
    const answer = await request(`${under.url}/execute`, {
      method: 'POST',
      headers: json,
      body: JSON.stringify(task),
      dispatcher,
    });
    return { status: answer.statusCode, text: await answer.body.text() };
  } finally {
    await dispatcher.close();
  }
}

const tiny = () => aTask({ tier: 'tiny' });

test('both workers serve the port, and the node never runs more than the tier allows', async () => {
  await under.knobs({ ttftMs: 30 });
  const answers = await Promise.all(Array.from({ length: 80 }, () => execute(tiny())));
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  const { maxOpen } = await under.stats();
  assert.equal(maxOpen, 4);
});

test('a hundred simultaneous requests with one task_id: one model call, one answer', async () => {
  await under.knobs({ ttftMs: 200 });
  const task = tiny();
  const answers = await Promise.all(Array.from({ length: 100 }, () => execute(task)));
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  assert.equal(new Set(answers.map(({ text }) => text)).size, 1);
  assert.equal((await under.stats()).byTask[task.task_id], 1);
});

test('another body under the task_id that runs is a conflict, whichever worker gets it', async () => {
  await under.knobs({ ttftMs: 500 });
  const task = tiny();
  const first = execute(task);
  await until(async () => (await under.stats()).byTask[task.task_id] === 1, 'the model call');
  const others = await Promise.all(
    Array.from({ length: 10 }, () => execute({ ...task, description: 'something else' })),
  );
  assert.deepEqual([...new Set(others.map(({ status }) => status))], [409]);
  assert.equal((await first).status, 200);
});

test('a task that runs is seen and cancelled through any worker', async () => {
  await under.knobs({ ttftMs: 20_000 });
  const task = tiny();
  const answer = execute(task);
  await until(async () => (await under.stats()).byTask[task.task_id] === 1, 'the model call');
  const at = `${under.url}/tasks/${task.task_id}`;
  for (let i = 0; i < 8; i++) {
    const dispatcher = new Agent();
    const { body } = await request(at, { dispatcher });
    assert.equal(((await body.json()) as { status: string }).status, 'running');
    await dispatcher.close();
  }
  assert.equal((await call(at, 'DELETE')).status, 202);
  assert.match((await answer).text, /"cancelled"/);
});

test('a worker that dies is replaced; its slots come back, and its task is executed again', async () => {
  await under.knobs({ ttftMs: 20_000 });
  const task = tiny();
  const broken = Promise.allSettled([execute(task), ...Array.from({ length: 3 }, () => execute(tiny()))]);
  await until(async () => (await under.stats()).open === 4, 'all slots taken');
  const before = under.workers();
  for (const pid of before) process.kill(pid, 'SIGKILL');
  await broken;
  await under.knobs({});
  await until(() => under.workers().filter((pid) => !before.includes(pid)).length === 2, 'new workers');
  await until(async () => {
    try {
      return (await execute(task)).status === 200;
    } catch {
      return false; // not listening yet
    }
  }, 'the answer');
  const answers = await Promise.all(Array.from({ length: 20 }, () => execute(tiny())));
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  assert.ok((await under.stats()).maxOpen <= 4);
});

/** Tasks that have ended, as the metrics say. */
async function counted(): Promise<number> {
  const { text } = await call(`${under.url}/metrics`, 'GET');
  const lines = text.split('\n').filter((line) => line.startsWith('worker_service_tasks_total{'));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

test('the metrics are those of the node, whichever worker is asked', async () => {
  const before = await counted();
  await Promise.all(Array.from({ length: 20 }, () => execute(tiny())));
  assert.equal(await counted(), before + 20);
});

test('SIGHUP changes nothing for one process, which has nobody to take over, and the log says so', async () => {
  const alone = await atCluster(onlyTiny(10, 60), { WORKERS: '1' });
  try {
    await alone.knobs({ ttftMs: 300 });
    const running = call(`${alone.url}/execute`, 'POST', JSON.stringify(tiny()), json);
    await until(async () => (await alone.stats()).open === 1, 'the call runs');
    alone.primary.kill('SIGHUP');
    await until(() => alone.log().includes('"event":"reload_not_possible"'), 'the line in the log');
    assert.equal((await running).status, 200);
  } finally {
    await alone.close();
  }
});

test('SIGHUP replaces the workers one by one, and no request fails', async () => {
  await under.knobs({ ttftMs: 20 });
  const before = under.workers();
  const failures: string[] = [];
  let running = true;
  let answered = 0;
  const clients = Array.from({ length: 4 }, async () => {
    while (running) {
      try {
        const { status, text } = await execute(tiny());
        if (status === 200) answered++;
        else failures.push(text);
      } catch (error) {
        failures.push(String(error));
      }
    }
  });
  under.primary.kill('SIGHUP');
  await until(() => under.log().includes('"event":"reloaded"'), 'the reload');
  running = false;
  await Promise.all(clients);
  assert.deepEqual(failures, []);
  assert.ok(answered > 0);
  allReplaced(before);
});

/** Kills a worker; returns the other one and the one that takes its place, which has just begun to start. */
async function withOneStarting(): Promise<number[]> {
  const [victim] = under.workers();
  process.kill(victim!, 'SIGKILL');
  await until(
    () => under.workers().length === 2 && !under.workers().includes(victim!),
    'its successor begins',
  );
  return under.workers();
}

function allReplaced(before: readonly number[]): void {
  assert.deepEqual(
    under.workers().filter((pid) => before.includes(pid)),
    [],
  );
  assert.equal(under.workers().length, 2);
}

test('a reload replaces a worker that is just starting, too, and leaves none beside', async () => {
  const before = await withOneStarting();
  const earlier = under.times('reloaded');
  under.primary.kill('SIGHUP');
  await until(() => under.times('reloaded') > earlier, 'the reload');
  allReplaced(before);
});

test('several SIGHUPs at once, also while a worker starts, leave one worker on each seat, all of the last one', async () => {
  const before = await withOneStarting();
  const [reloads, rounds] = [under.times('reloaded'), under.times('reloading')];
  for (let i = 0; i < 4; i++) {
    under.primary.kill('SIGHUP');
    await sleep(30);
  }
  const areOver = () =>
    under.times('reloaded') > reloads && under.times('reloaded') === under.times('reloading');
  await until(areOver, 'the reloads');
  assert.equal(under.times('reloading') - rounds, 2, 'what came while one was under way is one more');
  allReplaced(before);
});

test('what the metrics have counted stays counted when workers die or are replaced', async () => {
  const before = await counted();
  await Promise.all(Array.from({ length: 10 }, () => execute(tiny())));
  assert.equal(await counted(), before + 10);
  const [victim] = under.workers();
  process.kill(victim!, 'SIGKILL');
  await until(() => under.workers().length === 2 && !under.workers().includes(victim!), 'another worker');
  assert.equal(await counted(), before + 10, 'after a death');
  await Promise.all(Array.from({ length: 10 }, () => execute(tiny())));
  assert.equal(await counted(), before + 20);
  // Nobody has asked since for what is counted now.
  await Promise.all(Array.from({ length: 10 }, () => execute(tiny())));
  const reloaded = under.times('reloaded');
  under.primary.kill('SIGHUP');
  await until(() => under.times('reloaded') > reloaded, 'new workers');
  assert.equal(await counted(), before + 30, 'after a reload');
});

test('SIGTERM to all processes at once lets what runs end, and the exit code is 0', async () => {
  await under.knobs({ ttftMs: 2_000 });
  const answers = Promise.all(Array.from({ length: 4 }, () => execute(tiny())));
  await until(async () => (await under.stats()).open === 4, 'all slots taken');
  // As a supervisor does that signals the whole group.
  for (const pid of under.workers()) process.kill(pid, 'SIGTERM');
  under.primary.kill('SIGTERM');
  assert.deepEqual(
    (await answers).map(({ status }) => status),
    [200, 200, 200, 200],
  );
  assert.equal(await under.exited, 0);
  await sleep(50);
  assert.deepEqual(under.workers(), []);
});

test('a worker that is killed while the service starts is replaced, and the service comes up', async () => {
  let killed = 0;
  const started = await atCluster(onlyTiny(10, 60), {}, (primary) => {
    const watch = setInterval(() => {
      const [victim] = childrenOf(primary.pid!);
      if (victim === undefined) return;
      process.kill(victim, 'SIGKILL');
      killed = victim;
      clearInterval(watch);
    }, 5);
  });
  try {
    assert.equal(started.workers().length, 2);
    assert.ok(!started.workers().includes(killed));
    assert.match(started.log(), /"event":"worker_died"[^\n]*"signal":"SIGKILL"/);
    const { status } = await call(`${started.url}/execute`, 'POST', JSON.stringify(tiny()), json);
    assert.equal(status, 200);
  } finally {
    await started.close();
  }
});

for (const WORKERS of ['2', '1'])
  test(`a service that waits for its database ends at SIGTERM, and not when it has waited long enough: ${WORKERS}`, async () => {
    let ended: Promise<number | null> | undefined;
    const env = { DATABASE_URL: 'postgres://user:secret@127.0.0.1:9/none', WORKERS };
    const starting = atCluster('', env, (primary) => {
      ended = new Promise((resolve) => primary.once('exit', resolve));
      let said = '';
      primary.stdout!.on('data', (text: Buffer) => {
        said += text.toString();
        // All of them wait.
        if (said.split('"store_not_there_yet"').length > Number(WORKERS)) primary.kill('SIGTERM');
      });
    });
    await assert.rejects(starting, ({ message }: Error) => {
      if (WORKERS === '2') assert.match(message, /"event":"stopped"/);
      assert.doesNotMatch(message, /start_failed/);
      return true;
    });
    assert.equal(await ended, 0);
  });

test('workers that die as fast as they start end the service, with a clear error', async () => {
  const looping = await atCluster(onlyTiny(10, 60));
  try {
    let over = false;
    void looping.exited.then(() => {
      over = true;
    });
    while (!over) {
      for (const pid of looping.workers()) killIfThere(pid);
      await sleep(50);
    }
    assert.equal(await looping.exited, 1);
    assert.match(looping.log(), /"event":"crash_loop".*workers died within 60 s: the service ends/);
  } finally {
    await looping.close();
  }
});

test.run();

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
