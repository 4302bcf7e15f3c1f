import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { loadConfig } from '../../config/load.js';
import { domainNames } from '../../domains/registry.js';
import type { Entry, Retries, TaskEvent, TaskOutcome } from '../../server/caller.js';
import { type Deadline, Interruption } from '../../server/deadline.js';
import type { ExecutionParts } from '../../server/execution-parts.js';
import type { HttpParts } from '../../server/http/parts.js';
import { taskStatus } from '../../server/http/resources.js';
import { LocalLeases } from '../../server/leases.js';
import type { Log } from '../../server/log.js';
import type { ResolvedTask } from '../../server/resolution.js';
import { Conflict } from '../../server/standing.js';
import { type ArtifactStore, StoreUnavailable, type TaskRecord } from '../../server/store/store.js';
import { Tasks, type TasksParts } from '../../server/tasks.js';
import { until } from '../service/at-service.js';

const test = suite('tasks that run');
const config = loadConfig({ env: {}, argv: [], domains: domainNames });
const resolved: ResolvedTask = {
  task: { task_id: 'task-1', domain: 'code-general', description: 'anything' },
  context: undefined,
  requestHash: 'this body',
  tier: 'tiny',
  artifactId: 'art-1',
};

/** Whose store holds a body under every id, and tells so when it is let. */
function conflicting() {
  let tell!: () => void;
  const told = new Promise<void>((resolve) => {
    tell = resolve;
  });
  const stored = { requestHash: 'another body', final: true, outcome: { status: 'completed' } } as TaskRecord;
  const tasks = new Tasks({
    parts: { config } as ExecutionParts,
    store: {
      find: () => told.then(() => stored),
      artifact: async () => ({ output: Buffer.from('{}') }),
    } as unknown as ArtifactStore,
    leases: new LocalLeases(),
    peers: undefined,
    log: { error() {}, warn() {} } as unknown as Log,
    metrics: { ended() {} },
    recent: { add() {} },
    tracing: undefined,
  });
  return { tasks, tell };
}

test('a conflict that is found while the service stops is for its caller, and the stop goes on', async () => {
  for (const stop of ['idle', 'stop'] as const) {
    const { tasks, tell } = conflicting();
    const caller = tasks.submit(resolved, { from: 'http' });
    assert.ok('ended' in caller);
    const stopped = tasks[stop](10_000);
    tell();
    await assert.rejects(caller.ended, Conflict);
    await stopped;
    assert.equal(tasks.running, 0);
  }
});

test('one who comes while a task is being abandoned waits for its end', async () => {
  const { tasks, tell } = conflicting();
  const first = tasks.submit(resolved, { from: 'http' });
  assert.ok('leave' in first);
  first.leave();
  const second = tasks.submit(resolved, { from: 'http' });
  assert.ok('ended' in second);
  assert.notEqual(second.ended, first.ended);
  const order: string[] = [];
  const ends = [first.ended.catch(() => order.push('first')), second.ended.catch(() => order.push('second'))];
  tell();
  await Promise.all(ends);
  assert.deepEqual(order, ['first', 'second']);
});

test('who has the right body is not told of a conflict because a wrong one came first', async () => {
  const { tasks, tell } = conflicting();
  const wrong = tasks.submit(resolved, { from: 'http' });
  const right = tasks.submit({ ...resolved, requestHash: 'another body' }, { from: 'http' });
  assert.ok('ended' in wrong && 'ended' in right);
  tell();
  await assert.rejects(wrong.ended, Conflict);
  assert.equal((await right.ended).outcome.status, 'completed');
  assert.equal(tasks.running, 0);
});

test('who goes away before that is known leaves nothing behind', async () => {
  const { tasks, tell } = conflicting();
  const wrong = tasks.submit(resolved, { from: 'http' });
  const right = tasks.submit({ ...resolved, requestHash: 'another body' }, { from: 'http' });
  assert.ok('ended' in wrong && 'leave' in right);
  right.leave();
  tell();
  await assert.rejects(wrong.ended, Conflict);
  const { outcome, final } = await right.ended;
  assert.deepEqual(
    [outcome.status, 'code' in outcome && outcome.code, final],
    ['failed', 'cancelled', false],
  );
  assert.equal(tasks.running, 0);
});

test('a message that is no task does not end the task of its id that waits in the broker', async () => {
  const recorded: string[] = [];
  let queuedHash: string | undefined = 'this body';
  const tasks = saturated({
    pending: async () => (queuedHash === undefined ? undefined : { queuedHash }),
    record: async ({ taskId }: TaskRecord) => {
      recorded.push(taskId);
      return true;
    },
  });
  const rejection = { taskId: 'task-1', domain: '', content: Buffer.from('{}'), origin: undefined };
  const reject = () => tasks.reject({ ...rejection, code: 'invalid_request', detail: 'no task' });
  assert.equal(await reject(), false);
  assert.deepEqual(recorded, []);
  queuedHash = undefined;
  assert.equal(await reject(), true);
  assert.deepEqual(recorded, ['task-1']);
});

test('a task that comes while a message that is none ends its task_id is not executed', async () => {
  const recorded: string[] = [];
  let stored: TaskRecord | undefined;
  let mayRecord!: () => void;
  const allowed = new Promise<void>((resolve) => {
    mayRecord = resolve;
  });
  const tasks = saturated({
    find: async () => stored,
    record: async (record) => {
      recorded.push(record.requestHash);
      await allowed;
      stored ??= record;
      return stored === record;
    },
  });
  const rejection = { taskId: 'task-1', domain: '', content: Buffer.from('{}'), origin: undefined };
  const rejected = tasks.reject({ ...rejection, code: 'invalid_request', detail: 'no task' });
  await until(() => recorded.length === 1, 'the record of the rejection');
  const caller = tasks.submit(resolved, { from: 'events' });
  assert.ok('ended' in caller);
  // Time enough to be executed.
  await new Promise((resolve) => setTimeout(resolve, 20));
  mayRecord();
  assert.equal(await rejected, true);
  await assert.rejects(caller.ended, Conflict);
  assert.equal(recorded.length, 1);
});

test('a message that is no task leaves one alone that another process executes', async () => {
  const leases = new LocalLeases();
  leases.claim = async () => 'conflict';
  const tasks = saturated({ record: async () => assert.fail('it was ended') }, { leases });
  const rejection = { taskId: 'task-1', domain: '', content: Buffer.from('{}'), origin: undefined };
  assert.equal(await tasks.reject({ ...rejection, code: 'invalid_request', detail: 'no task' }), false);
});

test('a message that is no task ends its task_id when what came before turns out to be a conflict', async () => {
  const leases = new LocalLeases();
  const claims = ['conflict', 'granted'] as const;
  let asked = 0;
  leases.claim = async () => claims[asked++]!;
  const recorded: string[] = [];
  const record = async ({ outcome }: TaskRecord) => {
    recorded.push(outcome.status === 'failed' ? outcome.code : outcome.status);
    return true;
  };
  const tasks = saturated({ record }, { leases });
  const caller = tasks.submit(resolved, { from: 'events' });
  assert.ok('ended' in caller);
  const conflict = assert.rejects(caller.ended, Conflict);
  const rejection = { taskId: 'task-1', domain: '', content: Buffer.from('{}'), origin: undefined };
  assert.equal(await tasks.reject({ ...rejection, code: 'invalid_request', detail: 'no task' }), true);
  await conflict;
  assert.deepEqual(recorded, ['invalid_request']);
});

test('a message that is no task is recorded, although a process has died that was about to do so', async () => {
  const leases = new LocalLeases();
  const claims = ['held', 'granted'] as const;
  let asked = 0;
  leases.claim = async () => claims[asked++]!;
  const recorded: string[] = [];
  const tasks = saturated({ record: async ({ taskId }) => recorded.push(taskId) > 0 }, { leases });
  const rejection = { taskId: 'task-1', domain: '', content: Buffer.from('{}'), origin: undefined };
  assert.equal(await tasks.reject({ ...rejection, code: 'invalid_request', detail: 'no task' }), true);
  assert.deepEqual(recorded, ['task-1']);
});

test('the task that was taken for the broker waits for another body that is about to find itself a conflict', async () => {
  const leases = new LocalLeases();
  const claims = ['conflict', 'conflict', 'granted'] as const;
  let asked = 0;
  leases.claim = async () => claims[asked++]!;
  const tasks = saturated(
    { pending: async () => ({ queuedHash: resolved.requestHash }), record: async () => true },
    { leases },
  );
  const caller = tasks.submit(resolved, { from: 'events' });
  assert.ok('ended' in caller);
  const { outcome } = await caller.ended;
  assert.equal(outcome.status === 'failed' && outcome.code, 'tier_saturated');
  assert.equal(asked, 3);
});

test('another body is a conflict at once while a process executes the task', async () => {
  const leases = new LocalLeases();
  leases.claim = async () => 'conflict';
  const tasks = saturated({ pending: async () => ({ queuedHash: 'another body' }) }, { leases });
  const caller = tasks.submit(resolved, { from: 'events' });
  assert.ok('ended' in caller);
  await assert.rejects(caller.ended, Conflict);
});

/** What becomes of a message of a task that another message of it has tried before: what is recorded, and its outcome. */
async function afterAnother(origin: TaskRecord['origin'], retries: Retries, more: Partial<Entry> = {}) {
  const failure = { task_id: 'task-1', status: 'failed', code: 'gateway_error', retryable: true };
  const recorded: TaskRecord[] = [];
  const tasks = saturated(
    {
      find: async () =>
        ({ requestHash: 'this body', final: false, outcome: failure, origin }) as unknown as TaskRecord,
      record: async (record) => recorded.push(record) > 0,
    },
    {
      parts: {
        config,
        slots: {
          acquire: async (_: string, deadline: Deadline) =>
            deadline.cancel(new Interruption('deadline_exceeded', 'too late')),
        },
        templates: { of: () => ({ name: 'code-general', sha256: '' }) },
      } as unknown as ExecutionParts,
    },
  );
  const caller = tasks.submit(resolved, { from: 'events', retries, ...more });
  assert.ok('ended' in caller);
  const { final, attempts } = await caller.ended;
  return { final, attempts, executed: recorded.length };
}

test('a message of a task that another one has tried waits as that one does, and is then its next attempt', async () => {
  const waiting = { attempt: 1, most: 4, wait: () => true };
  const due = { ...waiting, wait: () => false };
  assert.deepEqual(await afterAnother({ attempts: 2 }, waiting), { final: false, attempts: 2, executed: 0 });
  assert.deepEqual(await afterAnother({ attempts: 2 }, due), { final: false, attempts: 3, executed: 1 });
  assert.deepEqual(await afterAnother({ attempts: 3 }, due), { final: true, attempts: 4, executed: 1 });
});

test('what has waited, an HTTP caller, a replay and one that was tried by an HTTP caller do not wait', async () => {
  const waiting = { attempt: 1, most: 4, wait: () => true };
  for (const { executed } of [
    await afterAnother({ attempts: 2 }, { ...waiting, attempt: 3 }),
    await afterAnother({ attempts: 2 }, waiting, { from: 'http' }),
    await afterAnother({ attempts: 2 }, waiting, { origin: { replay: 1 } }),
    await afterAnother({}, waiting),
  ])
    assert.equal(executed, 1);
});

test('what is no attempt of the queue keeps the count of those that were', async () => {
  const recorded: (number | undefined)[] = [];
  const failure = { task_id: 'task-1', status: 'failed', code: 'gateway_error', retryable: true };
  const stored = { requestHash: 'this body', final: false, outcome: failure, origin: { attempts: 2 } };
  const tasks = saturated({
    find: async () => stored as unknown as TaskRecord,
    record: async ({ origin }) => recorded.push(origin?.attempts) > 0,
  });
  const retries = { attempt: 1, most: 4, wait: () => false };
  for (const entry of [{ from: 'http' }, { from: 'events', retries }] as const) {
    const caller = tasks.submit(resolved, entry);
    assert.ok('ended' in caller);
    assert.equal((await caller.ended).attempts, 2);
  }
  assert.deepEqual(recorded, [2, 2]);
});

test('an HTTP caller who comes when a message was just told to wait is not told the failure before', async () => {
  const leases = new LocalLeases();
  let release!: () => void;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let releases = 0;
  leases.release = () => {
    releases++;
    return released;
  };
  const failure = { task_id: 'task-1', status: 'failed', code: 'gateway_error', retryable: true };
  const stored = { requestHash: 'this body', final: false, outcome: failure, origin: { attempts: 1 } };
  const tasks = saturated(
    { find: async () => stored as unknown as TaskRecord, record: async () => true },
    { leases },
  );
  const message = tasks.submit(resolved, {
    from: 'events',
    retries: { attempt: 1, most: 4, wait: () => true },
  });
  assert.ok('ended' in message);
  await until(() => releases === 1, 'it is to wait');
  const caller = tasks.submit(resolved, { from: 'http' });
  release();
  const codeOf = ({ outcome }: TaskOutcome) => outcome.status === 'failed' && outcome.code;
  assert.equal(codeOf(await message.ended), 'gateway_error');
  assert.ok('ended' in caller);
  assert.equal(codeOf(await caller.ended), 'tier_saturated');
});

/** Whose tier never has room: an execution comes to its end without a model. */
function saturated(store: Partial<ArtifactStore>, more: Partial<TasksParts> = {}): Tasks {
  return new Tasks({
    parts: {
      config,
      slots: { acquire: async () => ({ retryAfterSeconds: 1 }) },
      templates: { of: () => ({ name: 'code-general', sha256: '' }) },
    } as unknown as ExecutionParts,
    store: { find: async () => undefined, pending: async () => undefined, ...store } as ArtifactStore,
    leases: new LocalLeases(),
    peers: undefined,
    log: { error() {}, info() {}, warn() {} } as unknown as Log,
    metrics: { ended() {} },
    recent: { add() {} },
    tracing: undefined,
    ...more,
  });
}

test('a cancellation while a failure is recorded that is tried again holds for the next attempt', async () => {
  const noted: string[] = [];
  let recorded!: (isKept: boolean) => void;
  let onRecord!: () => void;
  const recording = new Promise<void>((resolve) => {
    onRecord = resolve;
  });
  const tasks = saturated({
    noteCancelled: async (_, reason) => void noted.push(reason),
    record: () =>
      new Promise((resolve) => {
        recorded = resolve;
        onRecord();
      }),
  });
  const caller = tasks.submit(resolved, { from: 'events' });
  assert.ok('ended' in caller);
  await recording;
  await tasks.cancelWherever('task-1', 'superseded');
  recorded(true);
  assert.equal((await caller.ended).final, false);
  assert.deepEqual(noted, ['superseded']);
});

test('a cancellation of a task of the queue that runs here is noted before it is promised: another process may get its message', async () => {
  for (const cancel of [
    // As DELETE does.
    async (tasks: Tasks) => (await tasks.cancel('task-1')) || (await tasks.cancelWherever('task-1', '')),
    (tasks: Tasks) => tasks.cancelWherever('task-1', ''),
  ])
    for (const from of ['events', 'http'] as const) {
      const done: string[] = [];
      let isAway = true;
      const slots = {
        acquire: (_tier: string, deadline: Deadline) =>
          new Promise((resolve) => void deadline.onInterruption(() => resolve(undefined))),
      };
      const templates = { of: () => ({ name: 'code-general', sha256: '' }) };
      const tasks = saturated(
        {
          noteCancelled: async () => {
            if (isAway) throw new StoreUnavailable('the disk is full');
            done.push('noted');
          },
          record: async ({ outcome }) => {
            if (isAway) throw new StoreUnavailable('the disk is full');
            return done.push(outcome.status === 'failed' ? outcome.code : outcome.status) > 0;
          },
        },
        {
          parts: { config, slots, templates } as unknown as ExecutionParts,
          log: { error() {}, info() {}, warn() {} } as unknown as Log,
        },
      );
      const caller = tasks.submit(resolved, { from });
      assert.ok('ended' in caller);
      await until(() => tasks.isRunning('task-1'), 'it runs');
      if (from === 'http') {
        await cancel(tasks);
        assert.equal((await caller.ended).final, false, 'nobody else has it, and nothing is recorded');
        continue;
      }
      await assert.rejects(cancel(tasks), StoreUnavailable);
      isAway = false;
      const noted = cancel(tasks);
      const { outcome } = await caller.ended;
      await noted;
      assert.equal(outcome.status === 'failed' && outcome.code, 'cancelled');
      assert.ok(done.includes('noted') && done.includes('cancelled'), String(done));
    }
});

test('a cancellation of a task that is being stopped holds for the next attempt', async () => {
  const noted: string[] = [];
  let turn!: (saturation: { retryAfterSeconds: number }) => void;
  const slots = {
    acquire: () =>
      new Promise((resolve) => {
        turn = resolve;
      }),
  };
  const templates = { of: () => ({ name: 'code-general', sha256: '' }) };
  const tasks = saturated(
    { noteCancelled: async (_, reason) => void noted.push(reason), record: async () => true },
    { parts: { config, slots, templates } as unknown as ExecutionParts },
  );
  const caller = tasks.submit(resolved, { from: 'events' });
  assert.ok('ended' in caller);
  await until(() => turn !== undefined, 'it waits for a slot');
  const stopped = tasks.stop();
  await tasks.cancelWherever('task-1', 'superseded');
  turn({ retryAfterSeconds: 1 });
  await stopped;
  assert.equal((await caller.ended).final, false);
  assert.deepEqual(noted, ['superseded']);
});

test('a fault of the service is told with its stack to the log, and without it to the caller', async () => {
  const faults: [taskId: string, message: string][] = [];
  const parts = {
    config,
    slots: { acquire: async () => ({ release() {} }) },
    templates: { of: () => ({ name: 'code-general', sha256: '' }) },
    pools: {
      tier: () => {
        throw new Error('cannot go on\n    at somewhere');
      },
    },
    onUsage: () => {},
    onFault: (taskId: string, { message }: Error) => faults.push([taskId, message]),
  } as unknown as ExecutionParts;
  const tasks = saturated({ record: async () => true }, { parts });
  const caller = tasks.submit({ ...resolved, context: 'none' }, { from: 'http' });
  assert.ok('ended' in caller);
  const { outcome } = await caller.ended;
  assert.ok(outcome.status === 'failed');
  assert.deepEqual([outcome.code, outcome.detail], ['internal_error', 'cannot go on']);
  assert.deepEqual(faults, [['task-1', 'cannot go on\n    at somewhere']]);
});

test('a cancellation that is noted before an end can be recorded is the end', async () => {
  const recorded: TaskRecord[] = [];
  let cancelReason: string | undefined;
  const tasks = saturated({
    pending: async () => (cancelReason === undefined ? undefined : { cancelReason }),
    record: async (record, _receipt, _output, options) => {
      // By another process, which this one hears of later.
      cancelReason = 'superseded';
      if (options?.unlessCancelled === true) return false;
      recorded.push(record);
      return true;
    },
  });
  const announced: string[] = [];
  tasks.onFinal = ({ taskId }) => announced.push(taskId);
  const caller = tasks.submit(resolved, { from: 'events' });
  assert.ok('ended' in caller);
  const { outcome, final } = await caller.ended;
  assert.ok(outcome.status === 'failed' && final);
  assert.deepEqual(
    [outcome.code, outcome.detail, outcome.retryable, outcome.retry_after_seconds],
    ['cancelled', 'the task was cancelled: superseded', false, undefined],
  );
  assert.deepEqual(
    recorded.map((record) => record.outcome),
    [outcome],
  );
  assert.deepEqual(announced, ['task-1']);
});

test('a body that the broker was given first is the task, although another one comes to be executed', async () => {
  const tasks = saturated({
    pending: async () => ({ queuedHash: 'another body' }),
    record: async () => true,
  });
  const other = tasks.submit(resolved, { from: 'http' });
  assert.ok('ended' in other);
  await assert.rejects(other.ended, Conflict);
  const queued = tasks.submit({ ...resolved, requestHash: 'another body' }, { from: 'events' });
  assert.ok('ended' in queued);
  const { outcome } = await queued.ended;
  assert.equal(outcome.status === 'failed' && outcome.code, 'tier_saturated');
});

test('a body that was executed stays the task, whatever the broker was given meanwhile', async () => {
  const stored = { requestHash: 'this body', final: false, outcome: { status: 'failed' } } as TaskRecord;
  const tasks = saturated({
    find: async () => stored,
    pending: async () => ({ queuedHash: 'another body' }),
    record: async () => true,
  });
  const caller = tasks.submit(resolved, { from: 'http' });
  assert.ok('ended' in caller);
  const { outcome } = await caller.ended;
  assert.equal(outcome.status === 'failed' && outcome.code, 'tier_saturated');
});

test('who finds that another process has ended his task tells what that one recorded', async () => {
  const outcome = { task_id: 'task-1', status: 'completed', artifact_id: 'art-1' };
  const stored = { taskId: 'task-1', requestHash: 'this body', final: true, outcome } as TaskRecord;
  const output = Buffer.from('{}');
  let isEnded = false;
  const tasks = saturated({
    find: async () => (isEnded ? stored : undefined),
    artifact: async () => ({ artifactId: 'art-1', taskId: 'task-1', domain: '', createdAt: 1, output }),
    record: async () => {
      isEnded = true;
      return false;
    },
  });
  const announced: unknown[] = [];
  tasks.onFinal = (...event) => announced.push(event);
  const caller = tasks.submit(resolved, { from: 'http' });
  assert.ok('ended' in caller);
  assert.deepEqual(await caller.ended, { outcome, output, final: true });
  assert.deepEqual(announced, [[stored, output]]);
});

test('an outcome that is removed while it is read is no answer', async () => {
  const outcome = { task_id: 'task-1', status: 'completed', artifact_id: 'art-1' };
  const stored = { taskId: 'task-1', requestHash: 'this body', final: true, outcome } as TaskRecord;
  const store = { find: async () => stored, artifact: async () => undefined };
  const caller = saturated(store).submit(resolved, { from: 'http' });
  assert.ok('ended' in caller);
  const ended = (await caller.ended).outcome;
  assert.ok(ended.status === 'failed');
  assert.deepEqual([ended.code, ended.retryable], ['store_unavailable', true]);
  const parts = { store, tasks: saturated(store), leases: new LocalLeases() } as unknown as HttpParts;
  assert.equal((await taskStatus(parts, 'task-1')).status, 404);
});

test('who waits for a task of another process joins it there, and watches only when he wants its events', async () => {
  const asked: string[] = [];
  let show!: (events: readonly TaskEvent[]) => void;
  let end!: () => void;
  const over = new Promise<void>((resolve) => {
    end = resolve;
  });
  let stored: TaskRecord | undefined;
  const leases = new LocalLeases();
  leases.claim = async () => 'held';
  const tasks = saturated(
    { find: async () => stored, artifact: async () => undefined },
    {
      leases,
      peers: {
        onFollow: undefined,
        follow: (taskId, shows) => {
          asked.push(`follow ${taskId}`);
          show = shows;
          return {
            isOver: false,
            over,
            watch: () => void asked.push('watch'),
            shown: async () => show([delta('late')]),
            leave: () => void asked.push('leave'),
          };
        },
      },
    },
  );
  const delta = (text: string): TaskEvent => ({ event: 'delta', data: { text } });
  const caller = tasks.submit(resolved, { from: 'http' });
  assert.ok('events' in caller);
  await caller.known;
  await until(() => asked.length > 0, 'the question');
  show([delta('early')]);
  assert.deepEqual(asked, ['follow task-1']);
  caller.onEvents = () => {};
  await until(() => asked.includes('watch'), 'the watch');
  stored = {
    requestHash: resolved.requestHash,
    final: true,
    outcome: { status: 'failed', code: 'output_invalid' },
  } as TaskRecord;
  end();
  const { final } = await caller.ended;
  assert.equal(final, true);
  assert.deepEqual(caller.events, [delta('early'), delta('late')]);
  assert.equal(asked.at(-1), 'leave');
  assert.equal(asked.filter((what) => what.startsWith('follow')).length, 1);
});

/** What joins tasks in another process: each following that was asked for, and who left. */
function peersOf(leases: LocalLeases, stored: () => TaskRecord | undefined) {
  const followings: { show: (events: readonly TaskEvent[]) => void; isOver: boolean; end: () => void }[] = [];
  const left: number[] = [];
  /** What comes before the end. */
  const tail: TaskEvent[] = [];
  const peers: TasksParts['peers'] = {
    onFollow: undefined,
    follow: (_, show) => {
      const at = followings.length;
      let end!: () => void;
      const over = new Promise<void>((resolve) => {
        end = resolve;
      });
      const following = { show, isOver: false, end };
      followings.push(following);
      return {
        get isOver() {
          return following.isOver;
        },
        over,
        watch: () => {},
        shown: async () => show(tail),
        leave: () => void left.push(at),
      };
    },
  };
  const tasks = saturated({ find: async () => stored(), artifact: async () => undefined }, { leases, peers });
  return { tasks, followings, left, tail };
}

test('who joins another process because the one before is over leaves that one', async () => {
  const leases = new LocalLeases();
  leases.claim = async () => 'held';
  let stored: TaskRecord | undefined;
  const { tasks, followings, left } = peersOf(leases, () => stored);
  const caller = tasks.submit(resolved, { from: 'http' });
  assert.ok('events' in caller);
  await until(() => followings.length === 1, 'the first question');
  followings[0]!.isOver = true;
  followings[0]!.end();
  await until(() => followings.length === 2, 'the second question');
  assert.deepEqual(left, [0]);
  stored = failedRecord;
  followings[1]!.end();
  await caller.ended;
  assert.deepEqual(left, [0, 1]);
});

test('what was shown elsewhere is shown here to its end, also when the lease is free before that', async () => {
  const leases = new LocalLeases();
  leases.claim = async () => (stored === undefined ? 'held' : 'granted');
  let stored: TaskRecord | undefined;
  const { tasks, followings, tail } = peersOf(leases, () => stored);
  const caller = tasks.submit(resolved, { from: 'http' });
  assert.ok('events' in caller);
  await until(() => followings.length === 1, 'the question');
  const late: TaskEvent = { event: 'delta', data: { text: 'late' } };
  tail.push(late);
  stored = failedRecord;
  assert.equal((await caller.ended).final, true);
  assert.deepEqual(caller.events, [late]);
});

const failedRecord = {
  requestHash: resolved.requestHash,
  final: true,
  outcome: { status: 'failed', code: 'output_invalid' },
} as TaskRecord;

test.run();
