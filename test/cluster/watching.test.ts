import assert from 'node:assert/strict';
import { type IncomingMessage, request } from 'node:http';
import { suite } from 'uvu';
import { aTask, deltasOf, eventsOf, onlyTiny, until } from '../service/at-service.js';
import { atCluster, type ClusterUnderTest } from './at-cluster.js';
import { workerOf } from './connections.js';

const test = suite('callers in both workers who watch one task');
let under: ClusterUnderTest;

test.before(async () => {
  under = await atCluster(onlyTiny(10, 60));
});
test.after(() => under.close());

interface Caller {
  /** Process id of the worker that the connection goes to. */
  readonly worker: number;
  text(): string;
  leave(): void;
  /** Resolves to the whole answer; rejects when the connection breaks. */
  readonly ended: Promise<string>;
}

/** On a connection of its own, so that the kernel spreads the callers over the workers. */
async function watch(task: object): Promise<Caller> {
  let answer = '';
  const sent = request(`${under.url}/execute`, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
  });
  const ended = new Promise<string>((resolve, reject) => {
    sent.once('error', reject);
    sent.once('response', (response: IncomingMessage) => {
      response.on('data', (piece: Buffer) => {
        answer += piece.toString();
      });
      response.once('end', () => resolve(answer));
      response.once('error', reject);
    });
  });
  ended.catch(() => {});
  await new Promise<void>((resolve) => sent.once('socket', (socket) => socket.once('connect', resolve)));
  const { localPort } = sent.socket!;
  sent.end(JSON.stringify(task));
  let worker: number | undefined;
  await until(() => {
    worker = workerOf(under.workers(), Number(new URL(under.url).port), localPort!);
    return worker !== undefined;
  }, 'a worker that has the connection');
  return { worker: worker!, text: () => answer, leave: () => sent.destroy(), ended };
}

/** One caller whose worker executes the task, and one in the other worker. */
async function twoWorkers(task: object): Promise<[Caller, Caller]> {
  const first = await watch(task);
  await until(() => first.text().includes('event: delta'), 'the first delta');
  for (;;) {
    const other = await watch(task);
    if (other.worker !== first.worker) return [first, other];
    other.leave();
  }
}

const slow = { tokensPerSecond: 70 };

test('who comes to another worker sees the same events, from the first one, while it runs', async () => {
  await under.knobs({ ...slow, ttftMs: 300 });
  const task = aTask({ tier: 'tiny' });
  const [here, there] = await twoWorkers(task);
  await until(() => there.text().includes('event: delta'), 'a delta in the other worker');
  assert.ok(!here.text().includes('event: completed'));
  const [first, second] = await Promise.all([here.ended, there.ended]);
  const last = eventsOf(second).at(-1)!;
  assert.deepEqual(last, eventsOf(first).at(-1));
  assert.equal(deltasOf(eventsOf(second)), last.data.output.content);
  assert.deepEqual(eventsOf(second)[0], eventsOf(first)[0]);
  assert.equal((await under.stats()).byTask[task.task_id], 1);
});

test('thoughts that were shown are void in the other worker too', async () => {
  await under.knobs({ ...slow, tokensPerSecond: 150, reasoningTokens: 150, reasoningIn: 'unopened' });
  const [here, there] = await twoWorkers(aTask({ tier: 'tiny' }));
  for (const text of await Promise.all([here.ended, there.ended])) {
    const all = eventsOf(text);
    const reset = all.findIndex(({ event }) => event === 'reset');
    assert.deepEqual(all[reset]?.data, { reason: 'reasoning', attempt: 1 });
    assert.equal(deltasOf(all.slice(reset)), all.at(-1)!.data.output.content);
  }
});

test('the execution goes on for who watches in another worker, when its own callers have left', async () => {
  await under.knobs(slow);
  const task = aTask({ tier: 'tiny' });
  const [here, there] = await twoWorkers(task);
  await until(() => there.text().includes('event: delta'), 'a delta');
  here.leave();
  const last = eventsOf(await there.ended).at(-1)!;
  assert.equal(last.event, 'completed');
  assert.equal((await under.stats()).byTask[task.task_id], 1);
});

test('when the last of them leaves, in whichever worker, the call is cancelled', async () => {
  await under.knobs({ tokensPerSecond: 20 });
  const [here, there] = await twoWorkers(aTask({ tier: 'tiny' }));
  await until(() => there.text().includes('event: delta'), 'a delta');
  here.leave();
  there.leave();
  await until(async () => (await under.stats()).open === 0, 'a gateway without calls');
});

test('when the worker dies that executes it, what was shown is void, and another one takes over', async () => {
  await under.knobs({ ...slow, script: [{ tokensPerSecond: 20 }] });
  const task = aTask({ tier: 'tiny' });
  const [here, there] = await twoWorkers(task);
  await until(() => there.text().includes('event: delta'), 'a delta');
  process.kill(here.worker, 'SIGKILL');
  await assert.rejects(here.ended);
  const all = eventsOf(await there.ended);
  const reset = all.findIndex(({ event }) => event === 'reset');
  assert.deepEqual(all[reset]?.data, { reason: 'takeover', attempt: 1 });
  assert.equal(all.at(-1)!.event, 'completed');
  assert.equal(deltasOf(all.slice(reset)), all.at(-1)!.data.output.content);
  assert.equal((await under.stats()).byTask[task.task_id], 2);
});

test.run();
