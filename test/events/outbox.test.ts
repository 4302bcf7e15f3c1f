import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { openOutbox } from '../../server/events/outbox.js';
import { type Outgoing, PublishRefused } from '../../server/events/outgoing.js';
import type { Publisher } from '../../server/events/publisher.js';
import { namesOf } from '../../server/events/topology.js';
import type { Log } from '../../server/log.js';
import type { ArtifactStore, MarkedRecord, TaskRecord } from '../../server/store/store.js';
import { until } from '../service/at-service.js';

/**
 * Edges of time that a real broker and a real store meet once in thousands of tasks: the marks are cleared when the
 * test says so, and every confirm comes in one piece.
 */
const test = suite('the outbox');
const names = namesOf({ exchange: 'tasks', queue_prefix: 'worker.task', routing_prefix: 'task' } as never);
const log = { debug() {}, info() {}, warn() {}, error() {} } as unknown as Log;

const MIB = 1024 * 1024;

function aRecord(taskId: string): TaskRecord {
  const outcome = {
    task_id: taskId,
    status: 'failed' as const,
    code: 'refused' as const,
    detail: 'no',
    retryable: false,
    tokens_used: 0,
  };
  return { taskId, requestHash: 'h', final: true, domain: 'documentation', finishedAt: 1, outcome };
}

function aCompleted(taskId: string): TaskRecord {
  const { outcome, ...record } = aRecord(taskId);
  const completed = { task_id: outcome.task_id, status: 'completed', artifact_id: `art-${taskId}` };
  return { ...record, outcome: completed as TaskRecord['outcome'] };
}

/** A store of outcomes that wait, all with the same output, whose marks are cleared only after `release`. */
function aStore(records: readonly TaskRecord[], output?: Uint8Array) {
  const waiting = new Map(records.map((record) => [record.taskId, record]));
  const cleared: number[] = [];
  let release: () => void = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const store = {
    unpublished: async (limit: number) => [...waiting.values()].slice(0, limit),
    artifact: async () => ({ output }),
    isPublished: async (taskId: string) => !waiting.has(taskId),
    markPublished: async (marked: readonly MarkedRecord[]) => {
      await released;
      cleared.push(marked.length);
      for (const { taskId } of marked) waiting.delete(taskId);
    },
  } as unknown as ArtifactStore;
  return { store, waiting, release, cleared };
}

function taskIdsOf(sent: readonly Outgoing[]): string[] {
  return sent.map(({ content }) => JSON.parse(content.toString()).data.task_id);
}

/** As where another process may be about to publish what is of the last moments. */
function onSharedStore(store: object, publisher: Publisher) {
  return openOutbox({ store: store as ArtifactStore, publisher, names, log, graceMs: 3000 });
}

/** A broker that confirms everything that waits at once. */
function aPublisher() {
  const sent: Outgoing[] = [];
  let unconfirmed: (() => void)[] = [];
  let confirmed = 0;
  const publisher: Publisher = {
    open: true,
    connected: true,
    bytesUnderWay: 0,
    onOpen: undefined,
    state: () => ({ ok: true, since: 0, detail: '' }),
    close: async () => {},
    keep: async () => {},
    publish: (message) => {
      sent.push(message);
      return new Promise((resolve) => {
        unconfirmed.push(() => resolve('confirmed'));
      });
    },
  };
  const confirmAll = () => {
    const all = unconfirmed;
    unconfirmed = [];
    confirmed = sent.length;
    for (const confirm of all) confirm();
  };
  const unconfirmedBytes = () => sent.slice(confirmed).reduce((sum, { content }) => sum + content.length, 0);
  return { publisher, sent, confirmAll, unconfirmedBytes };
}

test('a backlog larger than what may be under way drains, also when marks are cleared after the last confirm', async () => {
  const { store, waiting, release } = aStore(Array.from({ length: 1500 }, (_, n) => aRecord(`t-${n}`)));
  const { publisher, sent, confirmAll } = aPublisher();
  const outbox = openOutbox({ store, publisher, names, log, graceMs: 0 });
  publisher.onOpen?.();
  await until(() => outbox.underWay === 512, 'as many under way as may be');
  confirmAll();
  await new Promise((resolve) => setTimeout(resolve, 20));
  release();
  await until(() => {
    confirmAll();
    return waiting.size === 0;
  }, 'all published');
  assert.equal(sent.length, 1500);
  outbox.close();
});

test('marks are cleared together, also those of confirms that come one by one', async () => {
  const records = Array.from({ length: 200 }, (_, n) => aRecord(`t-${n}`));
  const { store, waiting, release, cleared } = aStore(records);
  const { publisher, confirmAll } = aPublisher();
  const outbox = openOutbox({ store, publisher, names, log, graceMs: 0 });
  release();
  for (const record of records) {
    outbox.offer(record, undefined);
    confirmAll();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => waiting.size === 0 && outbox.underWay === 0, 'all marks cleared');
  assert.ok(cleared.length <= 20, `${cleared.length} transactions for 200 marks`);
  outbox.close();
});

test('a drain does not wait for the next time that marks are due', async () => {
  const record = aRecord('t-1');
  const { store, waiting, release } = aStore([record]);
  const { publisher, confirmAll } = aPublisher();
  const outbox = openOutbox({ store, publisher, names, log, graceMs: 0 });
  release();
  outbox.offer(record, undefined);
  confirmAll();
  await outbox.drain(600_000);
  assert.equal(waiting.size, 0);
  assert.equal(outbox.underWay, 0);
  outbox.close();
});

test('a drain ends in time, however many events wait for a broker that confirms none', async () => {
  const { store } = aStore(Array.from({ length: 600 }, (_, n) => aRecord(`t-${n}`)));
  const { publisher, sent } = aPublisher();
  const outbox = openOutbox({ store, publisher, names, log, graceMs: 0 });
  let hasEnded = false;
  void outbox.drain(100).then(() => {
    hasEnded = true;
  });
  await until(() => hasEnded, 'the end of the drain');
  assert.equal(sent.length, 512);
  outbox.close();
});

test('marks that the store does not clear are cleared when it does, and nothing is published twice', async () => {
  const records = [aRecord('t-1'), aRecord('t-2')];
  const { store, waiting, release } = aStore(records);
  const { publisher, sent, confirmAll } = aPublisher();
  let failures = 2;
  const refusing: ArtifactStore = {
    ...store,
    markPublished: (marked) =>
      failures-- > 0 ? Promise.reject(new Error('the disk is full')) : store.markPublished(marked),
  };
  const outbox = openOutbox({ store: refusing, publisher, names, log, graceMs: 0 });
  release();
  outbox.offer(records[0]!, undefined);
  confirmAll();
  await until(() => failures < 2, 'the first time');
  outbox.offer(records[1]!, undefined);
  publisher.onOpen?.();
  await until(() => {
    confirmAll();
    return waiting.size === 0 && outbox.underWay === 0;
  }, 'all marks cleared');
  assert.equal(sent.length, 2);
  outbox.close();
});

test('with the broker away nothing is held in memory, and a stop does not wait for it', async () => {
  const record = aRecord('t-1');
  const { store } = aStore([record]);
  const { publisher, sent } = aPublisher();
  const away: Publisher = { ...publisher, open: false, connected: false };
  const outbox = openOutbox({ store, publisher: away, names, log, graceMs: 0 });
  outbox.offer(record, undefined);
  away.onOpen?.();
  let hasEnded = false;
  void outbox.drain(600_000).then(() => {
    hasEnded = true;
  });
  await until(() => hasEnded, 'the end of the drain');
  assert.deepEqual([sent.length, outbox.underWay], [0, 0]);
  outbox.close();
});

test('a drain waits for the next channel of a connection that is there', async () => {
  const record = aRecord('t-1');
  const { store, waiting, release } = aStore([record]);
  const { publisher, sent, confirmAll } = aPublisher();
  let looks = 0;
  const reopening: Publisher = {
    ...publisher,
    get open() {
      return ++looks > 5;
    },
  };
  const outbox = openOutbox({ store, publisher: reopening, names, log, graceMs: 0 });
  release();
  const drained = outbox.drain(600_000);
  await until(() => sent.length > 0, 'the event');
  confirmAll();
  await drained;
  assert.deepEqual([sent.length, waiting.size, outbox.underWay], [1, 0, 0]);
  outbox.close();
});

test('a drain reads a store again that could not be read', async () => {
  const record = aRecord('t-1');
  const { store, waiting, release } = aStore([record]);
  const { publisher, sent, confirmAll } = aPublisher();
  let failures = 1;
  const failing: ArtifactStore = {
    ...store,
    unpublished: (limit, before) =>
      failures-- > 0 ? Promise.reject(new Error('it starts')) : store.unpublished(limit, before),
  };
  const outbox = openOutbox({ store: failing, publisher, names, log, graceMs: 0 });
  release();
  const drained = outbox.drain(600_000);
  await until(() => sent.length > 0, 'the event');
  confirmAll();
  await drained;
  assert.deepEqual([sent.length, waiting.size], [1, 0]);
  outbox.close();
});

test('a drain of a store that cannot be read ends in time', async () => {
  const { store } = aStore([aRecord('t-1')]);
  const { publisher, sent } = aPublisher();
  let looks = 0;
  const unreadable: ArtifactStore = {
    ...store,
    unpublished: () => {
      looks++;
      return Promise.reject(new Error('it is away'));
    },
  };
  const outbox = openOutbox({ store: unreadable, publisher, names, log, graceMs: 0 });
  await outbox.drain(100);
  assert.deepEqual([sent.length, looks], [0, 1], 'it looks after pauses');
  outbox.close();
});

test('a drain takes no sweep of the channel that opens again for its own', async () => {
  const record = { ...aRecord('t-1'), finishedAt: Date.now() };
  const { store, waiting, release } = aStore([record]);
  const { publisher, sent, confirmAll } = aPublisher();
  let open = false;
  const reopening: Publisher = {
    ...publisher,
    get open() {
      return open;
    },
  };
  // Slow, and of the others' outcomes it leaves the young ones, as PostgreSQL does.
  const slow = {
    ...store,
    unpublished: async (limit: number, before = Number.POSITIVE_INFINITY) => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      return (await store.unpublished(limit)).filter(({ finishedAt }) => finishedAt < before);
    },
  };
  const outbox = onSharedStore(slow, reopening);
  release();
  const drained = outbox.drain(600_000);
  await new Promise((resolve) => setTimeout(resolve, 5));
  open = true;
  reopening.onOpen?.();
  await until(() => sent.length > 0, 'the event');
  confirmAll();
  await drained;
  assert.equal(waiting.size, 0);
  outbox.close();
});

test('a drain leaves nothing to others, also when a sweep that does so is under way', async () => {
  const waiting = [{ ...aRecord('t-1'), finishedAt: Date.now() }];
  let read = () => {};
  const isRead = new Promise<void>((resolve) => {
    read = resolve;
  });
  const store = {
    unpublished: async (_: number, before = Number.POSITIVE_INFINITY) => {
      await isRead;
      return waiting.filter(({ finishedAt }) => finishedAt < before);
    },
    markPublished: async () => void waiting.pop(),
  };
  const { publisher, sent, confirmAll } = aPublisher();
  const outbox = onSharedStore(store, publisher);
  publisher.onOpen?.();
  const drained = outbox.drain(5000);
  read();
  const confirming = setInterval(confirmAll, 1);
  await drained;
  clearInterval(confirming);
  assert.deepEqual([sent.length, waiting], [1, []]);
  outbox.close();
});

test('a drain is no race with others of the same store, who go on recording outcomes and publish them themselves', async () => {
  let count = 0;
  const ofOthers = () => ({ ...aRecord(`other-${count++}`), finishedAt: Date.now() + 1 });
  const waiting = [{ ...aRecord('own'), finishedAt: Date.now() - 10 }];
  const recording = setInterval(() => waiting.push(ofOthers()), 1);
  const store = {
    unpublished: async (limit: number, before = Number.POSITIVE_INFINITY) =>
      waiting.filter(({ finishedAt }) => finishedAt < before).slice(0, limit),
    markPublished: async (marked: readonly MarkedRecord[]) => {
      for (const { taskId } of marked)
        waiting.splice(
          waiting.findIndex((each) => each.taskId === taskId),
          1,
        );
    },
  };
  const { publisher, sent, confirmAll } = aPublisher();
  const outbox = onSharedStore(store, publisher);
  const confirming = setInterval(confirmAll, 1);
  await outbox.drain(600_000);
  clearInterval(confirming);
  clearInterval(recording);
  assert.deepEqual(taskIdsOf(sent), ['own']);
  outbox.close();
});

test('of an outcome whose output is gone, because another process has published it since, nothing is published', async () => {
  const records = [aCompleted('t-1'), aRecord('t-2')];
  const { store, waiting, release } = aStore(records);
  const pruned = { ...store, artifact: async () => undefined } as unknown as ArtifactStore;
  const { publisher, sent, confirmAll } = aPublisher();
  const outbox = openOutbox({ store: pruned, publisher, names, log, graceMs: 0 });
  release();
  publisher.onOpen?.();
  await until(() => {
    confirmAll();
    return waiting.size === 1;
  }, 'the other one');
  assert.deepEqual(taskIdsOf(sent), ['t-2']);
  outbox.close();
});

test('an event that the broker refuses is not tried again by this process for now; who waits for it hears why', async () => {
  const record = aRecord('t-1');
  const { store, waiting, release } = aStore([record]);
  const { publisher, confirmAll } = aPublisher();
  let tries = 0;
  const refusing: Publisher = {
    ...publisher,
    publish: () => {
      tries++;
      return Promise.reject(new PublishRefused('too large', 406));
    },
  };
  const outbox = openOutbox({ store, publisher: refusing, names, log, graceMs: 0 });
  outbox.offer(record, undefined);
  await assert.rejects(outbox.confirmed('t-1'), PublishRefused);
  await assert.rejects(outbox.confirmed('t-1'), PublishRefused);
  for (let sweep = 0; sweep < 3; sweep++) {
    refusing.onOpen?.();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.deepEqual([tries, waiting.size], [1, 1]);
  outbox.close();
  // The next process tries it: the limit may have been raised.
  release();
  const next = openOutbox({ store, publisher, names, log, graceMs: 0 });
  publisher.onOpen?.();
  await until(() => {
    confirmAll();
    return waiting.size === 0;
  }, 'published');
  next.close();
});

test('whoever asks between the confirm and the clearing of the mark is told at once', async () => {
  const record = aRecord('t-1');
  const { store } = aStore([record]);
  const { publisher, sent, confirmAll } = aPublisher();
  const outbox = openOutbox({ store, publisher, names, log, graceMs: 0 });
  outbox.offer(record, undefined);
  confirmAll();
  await outbox.confirmed('t-1');
  // The mark is still there: it never is cleared in this test.
  await Promise.race([
    outbox.confirmed('t-1'),
    new Promise((_, reject) => setTimeout(() => reject(new Error('nobody told')), 500)),
  ]);
  assert.equal(sent.length, 1);
  outbox.close();
});

test('an outcome that another process has published and that was removed since holds up nobody', async () => {
  const store = { unpublished: async () => [], isPublished: async () => false, find: async () => undefined };
  const { publisher } = aPublisher();
  const outbox = onSharedStore(store, publisher);
  await outbox.confirmed('task-1');
  outbox.close();
});

test('outcomes from before the clock was set back are published, those of a moment ago are left to others', async () => {
  const future = { ...aRecord('task-future'), finishedAt: Date.now() + 3_600_000 };
  const fresh = { ...aRecord('task-fresh'), finishedAt: Date.now() + 1000 };
  const records = [fresh, future];
  const store = {
    unpublished: async (_: number, before = Number.POSITIVE_INFINITY) =>
      records.filter(({ finishedAt }) => finishedAt < before),
    markPublished: async () => {},
  };
  const { publisher, sent } = aPublisher();
  const outbox = onSharedStore(store, publisher);
  publisher.onOpen?.();
  await until(() => sent.length > 0, 'an event');
  assert.deepEqual(taskIdsOf(sent), ['task-future']);
  outbox.close();
});

test('whoever waits for the same event is told, however many they are', async () => {
  const record = aRecord('t-1');
  const { store } = aStore([record]);
  const { publisher, confirmAll } = aPublisher();
  const outbox = openOutbox({ store, publisher, names, log, graceMs: 0 });
  outbox.offer(record, undefined);
  let told = 0;
  const waiters = [1, 2, 3].map(async () => {
    await outbox.confirmed('t-1');
    told++;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(told, 0, 'not before the broker has confirmed');
  confirmAll();
  await Promise.all(waiters);
  outbox.close();
});

test('an event that the broker did not take is published again, and whoever waits for it hears of that', async () => {
  const record = aRecord('t-1');
  const { store, waiting, release } = aStore([record]);
  const { publisher, sent, confirmAll } = aPublisher();
  const broken = new Error('the channel closed');
  let failures = 2;
  const flaky: Publisher = {
    ...publisher,
    publish: (message) => (failures-- > 0 ? Promise.reject(broken) : publisher.publish(message)),
  };
  const outbox = openOutbox({ store, publisher: flaky, names, log, graceMs: 0 });
  release();
  outbox.offer(record, undefined);
  const confirmed = outbox.confirmed('t-1');
  await until(() => outbox.underWay === 0, 'the first attempt has failed');
  await until(() => {
    flaky.onOpen?.();
    confirmAll();
    return waiting.size === 0;
  }, 'published');
  await confirmed;
  assert.equal(sent.length, 1);
  outbox.close();
});

test('an event that cannot be published holds up no other one, and is tried once a sweep', async () => {
  const { store, waiting, release } = aStore(Array.from({ length: 300 }, (_, n) => aRecord(`t-${n}`)));
  const { publisher, confirmAll } = aPublisher();
  let refused = 0;
  const picky: Publisher = {
    ...publisher,
    publish: (message) => {
      if (!message.content.includes('"t-0"')) return publisher.publish(message);
      refused++;
      return Promise.reject(new Error('not this one'));
    },
  };
  const outbox = openOutbox({ store, publisher: picky, names, log, graceMs: 0 });
  release();
  picky.onOpen?.();
  await until(() => {
    confirmAll();
    return waiting.size === 1;
  }, 'all others published');
  assert.equal(refused, 1);
  outbox.close();
});

test('what is under way is bounded in bytes, too; the rest follows', async () => {
  const records = Array.from({ length: 60 }, (_, n) => aCompleted(`t-${n}`));
  const output = new TextEncoder().encode(JSON.stringify({ content: 'x'.repeat(MIB) }));
  const { store, waiting, release } = aStore(records, output);
  const { publisher, sent, confirmAll, unconfirmedBytes } = aPublisher();
  const outbox = openOutbox({ store, publisher, names, log, graceMs: 0 });
  release();
  for (const record of records.slice(0, 30)) outbox.offer(record, output);
  assert.equal(outbox.underWay, 16);
  publisher.onOpen?.();
  await until(() => {
    assert.ok(unconfirmedBytes() < 18 * MIB, `${unconfirmedBytes()} bytes under way`);
    confirmAll();
    return waiting.size === 0;
  }, 'all published');
  assert.equal(new Set(sent.map(({ options }) => options.messageId)).size, 60);
  assert.equal(sent.length, 60);
  outbox.close();
});

test.run();
