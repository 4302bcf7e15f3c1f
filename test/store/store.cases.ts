import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { Receipt } from '../../contracts/outcome.js';
import {
  type ArtifactStore,
  StoreUnavailable,
  type TaskOrigin,
  type TaskRecord,
} from '../../server/store/store.js';

export interface OpenedStore {
  readonly store: ArtifactStore;
  /** Closes the store, if the case did not, and removes its data. */
  cleanup(): Promise<void>;
}

/** The behaviours that every engine has; `open` gives a store of its own, empty, to each of them. */
export function storeCases(name: string, open: () => Promise<OpenedStore>): void {
  const test = suite(`the store (${name})`);
  const behaviour = (sentence: string, run: (store: ArtifactStore) => Promise<void>): void => {
    test(sentence, async () => {
      const { store, cleanup } = await open();
      try {
        await run(store);
      } finally {
        await cleanup();
      }
    });
  };

  behaviour('what was never recorded is not found', async (store) => {
    assert.equal(await store.find('nobody'), undefined);
    assert.equal(await store.receipt('nobody'), undefined);
    assert.equal(await store.artifact('nobody'), undefined);
    assert.deepEqual(await store.unpublished(10), []);
  });

  behaviour('a completed task comes back with its receipt and its artifact', async (store) => {
    const record = aCompleted({ taskId: 'one', finishedAt: 1_700_000_000_123 });
    await store.record(record, aReceipt(record), anOutput('{"content":"x"}'));
    assert.deepEqual(await store.find('one'), record);
    assert.deepEqual(await store.receipt('one'), aReceipt(record));
    const artifact = await store.artifact('art-one');
    assert.ok(artifact);
    const { output, ...head } = artifact;
    assert.deepEqual(head, {
      artifactId: 'art-one',
      taskId: 'one',
      domain: 'documentation',
      createdAt: 1_700_000_000_123,
    });
    assert.equal(text(output), '{"content":"x"}');
  });

  behaviour('a final outcome is published once its mark is cleared', async (store) => {
    const record = aCompleted({ taskId: 'announced' });
    assert.equal(await store.isPublished('announced'), false);
    await store.record(record, aReceipt(record), anOutput('{}'));
    assert.equal(await store.isPublished('announced'), false);
    await store.markPublished([record]);
    assert.equal(await store.isPublished('announced'), true);
  });

  behaviour('a final failure may be opened again, a completed task may not', async (store) => {
    const failed = aFailed({ taskId: 'again', final: true });
    const done = aCompleted({ taskId: 'done' });
    await store.record(failed, aReceipt(failed), undefined);
    await store.record(done, aReceipt(done), anOutput('{}'));
    assert.deepEqual(
      [await store.reopen('again'), await store.reopen('done'), await store.reopen('x')],
      [true, false, false],
    );
    assert.equal((await store.find('again'))?.final, false);
    assert.deepEqual(
      (await store.unpublished(10)).map(({ taskId }) => taskId),
      ['done'],
    );
    const second = aCompleted({ taskId: 'again' });
    await store.record(second, aReceipt(second), anOutput('{}'));
    assert.equal((await store.find('again'))?.outcome.status, 'completed');
    assert.equal(await store.isPublished('again'), false);
  });

  behaviour(
    'what an execution of an earlier life comes to is not recorded in the one after it',
    async (store) => {
      const first = aFailed({ taskId: 'fenced', finishedAt: 1_000, origin: { attempts: 3 } });
      await store.record(first, aReceipt(first), undefined);
      assert.equal(await store.reopen('fenced', 2), true);
      assert.deepEqual((await store.find('fenced'))?.origin, { replay: 2 });
      for (const origin of [undefined, { replay: 1 }]) {
        const late = aFailed({ taskId: 'fenced', finishedAt: 2_000, origin });
        assert.equal(await store.record(late, aReceipt(late), undefined), false);
        const completed = aCompleted({ taskId: 'fenced', finishedAt: 2_000, origin });
        assert.equal(await store.record(completed, aReceipt(completed), anOutput('{}')), false);
      }
      assert.equal((await store.find('fenced'))?.final, false);
      const second = aCompleted({ taskId: 'fenced', finishedAt: 3_000, origin: { replay: 2 } });
      assert.equal(await store.record(second, aReceipt(second), anOutput('{}')), true);
      assert.deepEqual(await store.find('fenced'), second);
    },
  );

  behaviour('the late confirm of a failure clears no mark of the life that came after it', async (store) => {
    const first = aFailed({ taskId: 'lives', finishedAt: 1_000 });
    const second = aFailed({ taskId: 'lives', finishedAt: 2_000 });
    await store.record(first, aReceipt(first), undefined);
    await store.markPublished([first]);
    assert.equal(await store.reopen('lives'), true);
    await store.record(second, aReceipt(second), undefined);
    await store.markPublished([first]);
    assert.deepEqual(await ids(store), ['lives']);
    await store.markPublished([second]);
    assert.deepEqual(await ids(store), []);
  });

  behaviour('an output keeps its bytes: spacing, escapes and every plane of Unicode', async (store) => {
    const json = '{ "content" :\n"\\u0000 \\ud83d\\ude00 é 漢 😀 \\ud800", "n": 1.50e+1 }';
    const record = aCompleted({ taskId: 'bytes' });
    await store.record(record, aReceipt(record), anOutput(json));
    assert.equal(text((await store.artifact('art-bytes'))?.output), json);
  });

  behaviour('an output of 3 MB comes back whole', async (store) => {
    const output = Buffer.alloc(3_000_000, '{"content":"0123456789"}');
    const record = aCompleted({ taskId: 'large' });
    await store.record(record, aReceipt(record), output);
    const stored = await store.artifact('art-large');
    assert.equal(stored?.output.length, output.length);
    assert.ok(output.equals(stored?.output ?? Buffer.alloc(0)));
  });

  behaviour('outputs of every length come back, an empty one too', async (store) => {
    for (const length of [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000]) {
      const output = Buffer.alloc(length, 'abcdefghijk');
      const record = aCompleted({ taskId: `l${length}` });
      await store.record(record, aReceipt(record), output);
      const stored = await store.artifact(`art-l${length}`);
      assert.ok(stored && output.equals(stored.output), `${length} bytes`);
    }
  });

  behaviour('of large records of one task at the same time exactly one stands, as a whole', async (store) => {
    const rivals = Array.from({ length: 8 }, (_, at) => aCompleted({ taskId: 'race', finishedAt: at + 1 }));
    await Promise.all(
      rivals.map((rival) => store.record(rival, aReceipt(rival), Buffer.alloc(150_000, n(rival)))),
    );
    const winner = await store.find('race');
    assert.ok(winner);
    const output = (await store.artifact('art-race'))?.output;
    assert.ok(Buffer.alloc(150_000, n(winner)).equals(output ?? Buffer.alloc(0)));
    assert.deepEqual(await ids(store), ['race']);
  });

  behaviour('an output may be changed by its owner after the call', async (store) => {
    const output = anOutput('{"content":"before"}');
    const record = aCompleted({ taskId: 'owned' });
    const recorded = store.record(record, aReceipt(record), output);
    output.fill(0);
    await recorded;
    assert.equal(text((await store.artifact('art-owned'))?.output), '{"content":"before"}');
  });

  behaviour('a text outside of ASCII survives in a record', async (store) => {
    const record = aFailed({ taskId: 'words', detail: 'Größe 漢字 😀 \ud800' });
    await store.record(record, aReceipt(record), undefined);
    assert.deepEqual(await store.find('words'), record);
  });

  behaviour('a later record replaces one that is not final', async (store) => {
    const first = aFailed({ taskId: 'again', final: false, finishedAt: 10 });
    const second = aCompleted({ taskId: 'again', finishedAt: 20 });
    await store.record(first, aReceipt(first), undefined);
    assert.deepEqual(await store.find('again'), first);
    await store.record(second, aReceipt(second), anOutput('{}'));
    assert.deepEqual(await store.find('again'), second);
    assert.deepEqual(await store.receipt('again'), aReceipt(second));
  });

  behaviour('a final record stands', async (store) => {
    const first = aCompleted({ taskId: 'done', finishedAt: 10 });
    await store.record(first, aReceipt(first), anOutput('{"content":"first"}'));
    for (const later of [
      aFailed({ taskId: 'done', finishedAt: 20, final: false }),
      aFailed({ taskId: 'done', finishedAt: 30 }),
      aCompleted({ taskId: 'done', finishedAt: 40 }),
    ]) {
      const output = later.outcome.status === 'completed' ? anOutput('{"content":"later"}') : undefined;
      await store.record(later, aReceipt(later), output);
    }
    assert.deepEqual(await store.find('done'), first);
    assert.deepEqual(await store.receipt('done'), aReceipt(first));
    assert.equal(text((await store.artifact('art-done'))?.output), '{"content":"first"}');
    assert.deepEqual(await ids(store), ['done']);
  });

  behaviour('who records is told whether another outcome stands', async (store) => {
    const told: boolean[] = [];
    for (const record of [
      aFailed({ taskId: 'told', finishedAt: 10, final: false }),
      aFailed({ taskId: 'told', finishedAt: 20 }),
      aFailed({ taskId: 'told', finishedAt: 30, final: false }),
      aFailed({ taskId: 'told', finishedAt: 40 }),
    ])
      told.push(await store.record(record, aReceipt(record), undefined));
    assert.deepEqual(told, [true, true, false, false]);
  });

  behaviour('of records of one task at the same time exactly one stands, as a whole', async (store) => {
    const rivals = Array.from({ length: 20 }, (_, n) => aCompleted({ taskId: 'race', finishedAt: n + 1 }));
    await Promise.all(
      rivals.map((rival) => store.record(rival, aReceipt(rival), anOutput(`{"n":${n(rival)}}`))),
    );
    const winner = await store.find('race');
    assert.ok(winner);
    assert.deepEqual(await store.receipt('race'), aReceipt(winner));
    assert.equal(text((await store.artifact('art-race'))?.output), `{"n":${n(winner)}}`);
    assert.deepEqual(await ids(store), ['race']);
  });

  behaviour('final outcomes are unpublished, oldest first, up to the limit', async (store) => {
    for (const [taskId, finishedAt] of [
      ['b', 20],
      ['c', 30],
      ['a', 10],
      ['a2', 10],
    ] as const) {
      const record = aCompleted({ taskId, finishedAt });
      await store.record(record, aReceipt(record), anOutput('{}'));
    }
    const retried = aFailed({ taskId: 'retried', final: false, finishedAt: 5 });
    await store.record(retried, aReceipt(retried), undefined);
    assert.deepEqual(await ids(store), ['a', 'a2', 'b', 'c']);
    assert.deepEqual(
      (await store.unpublished(3)).map(({ taskId }) => taskId),
      ['a', 'a2', 'b'],
    );
    assert.deepEqual((await store.unpublished(1))[0], await store.find('a'));
  });

  behaviour('a mark is cleared once and may be cleared again', async (store) => {
    const [p, q, r, unknown] = ['p', 'q', 'r', 'unknown'].map((taskId) => aFailed({ taskId, finishedAt: 1 }));
    for (const record of [p!, q!, r!]) await store.record(record, aReceipt(record), undefined);
    await store.markPublished([p!, r!, unknown!]);
    await store.markPublished([p!]);
    await store.markPublished([]);
    assert.deepEqual(await ids(store), ['q']);
    assert.ok(await store.find('p'));
  });

  behaviour('unpublished outcomes are those that finished before a time, when it is given', async (store) => {
    for (const [taskId, finishedAt] of [
      ['late', 30],
      ['early', 10],
      ['edge', 20],
    ] as const) {
      const record = aFailed({ taskId, finishedAt });
      await store.record(record, aReceipt(record), undefined);
    }
    const before = async (time: number, limit: number): Promise<string[]> =>
      (await store.unpublished(limit, time)).map(({ taskId }) => taskId);
    assert.deepEqual(await before(20, 10), ['early']);
    assert.deepEqual(await before(21, 10), ['early', 'edge']);
    assert.deepEqual(await before(100, 2), ['early', 'edge']);
    assert.deepEqual(await before(10, 10), []);
  });

  behaviour('the notes on a task stand side by side, and the queued one can be taken back', async (store) => {
    assert.equal(await store.pending('noted'), undefined);
    await store.noteQueued('noted', 'hash');
    assert.deepEqual(await store.pending('noted'), { queuedHash: 'hash' });
    await store.noteCancelled('noted', 'of no use \u0000 😀 \ud800');
    assert.deepEqual(await store.pending('noted'), {
      queuedHash: 'hash',
      cancelReason: 'of no use \u0000 😀 \ud800',
    });
    await store.dropQueued('noted', 'another hash');
    assert.equal((await store.pending('noted'))?.queuedHash, 'hash');
    await store.dropQueued('noted', 'hash');
    await store.dropQueued('noted', 'hash');
    await store.dropQueued('another', 'hash');
    assert.deepEqual(await store.pending('noted'), { cancelReason: 'of no use \u0000 😀 \ud800' });
    await store.noteCancelled('noted', '');
    assert.deepEqual(await store.pending('noted'), { cancelReason: '' });
    assert.equal(await store.pending('note'), undefined);
  });

  behaviour('a final outcome drops the notes, one that is not final leaves them', async (store) => {
    await store.noteQueued('noted', 'hash');
    await store.noteCancelled('noted', 'why');
    await store.noteQueued('other', 'hash');
    const retried = aFailed({ taskId: 'noted', final: false, finishedAt: 1 });
    await store.record(retried, aReceipt(retried), undefined);
    assert.deepEqual(await store.pending('noted'), { queuedHash: 'hash', cancelReason: 'why' });
    const final = aCompleted({ taskId: 'noted', finishedAt: 2 });
    await store.record(final, aReceipt(final), anOutput('{}'));
    assert.equal(await store.pending('noted'), undefined);
    assert.deepEqual(await store.pending('other'), { queuedHash: 'hash' });
  });

  behaviour('what was noted as cancelled is not recorded unless that is asked for', async (store) => {
    await store.noteCancelled('unwanted', 'why');
    await store.noteQueued('wanted', 'hash');
    for (const [taskId, kept] of [['unwanted', false] as const, ['wanted', true] as const]) {
      const attempt = aFailed({ taskId, final: false, finishedAt: 1 });
      const last = aCompleted({ taskId, finishedAt: 2 });
      const unlessCancelled = { unlessCancelled: true };
      assert.equal(await store.record(attempt, aReceipt(attempt), undefined, unlessCancelled), kept);
      assert.equal(await store.record(last, aReceipt(last), anOutput('{}'), unlessCancelled), kept);
    }
    assert.equal(await store.find('unwanted'), undefined);
    assert.deepEqual(await store.pending('unwanted'), { cancelReason: 'why' });
    const cancelled = aFailed({ taskId: 'unwanted' });
    assert.equal(await store.record(cancelled, aReceipt(cancelled), undefined), true);
    assert.equal(await store.pending('unwanted'), undefined);
  });

  behaviour('a task that has ended for good takes no notes, one that failed for now does', async (store) => {
    const final = aFailed({ taskId: 'final' });
    await store.record(final, aReceipt(final), undefined);
    await store.noteQueued('final', 'hash');
    await store.noteCancelled('final', 'why');
    assert.equal(await store.pending('final'), undefined);
    const retried = aFailed({ taskId: 'retried', final: false });
    await store.record(retried, aReceipt(retried), undefined);
    await store.noteQueued('retried', 'hash');
    assert.deepEqual(await store.pending('retried'), { queuedHash: 'hash' });
  });

  behaviour(
    'prune drops notes by the time at which they were made, and counts none of them',
    async (store) => {
      const many = Array.from({ length: 250 }, (_, at) => `n${at}`);
      await Promise.all(many.map((taskId) => store.noteQueued(taskId, 'hash')));
      await store.noteCancelled('n7', 'why');
      const now = Date.now();
      assert.equal(await store.prune(now, { maxAgeMs: 60_000, maxBytes: 0 }), 0);
      for (const taskId of many) assert.ok(await store.pending(taskId), taskId);
      assert.equal(await store.prune(now + 120_000, { maxAgeMs: 60_000, maxBytes: 0 }), 0);
      for (const taskId of many) assert.equal(await store.pending(taskId), undefined, taskId);
    },
  );

  behaviour('ids of 128 characters and of every allowed character are apart', async (store) => {
    const longest = `T${'x'.repeat(127)}`;
    const all = [
      longest,
      longest.slice(0, 127),
      'a',
      'A',
      'a.b',
      'a:b',
      'a@b',
      'a-b',
      'a_b',
      '0',
      '00',
      '1e3',
      'null',
    ];
    const records = all.map((taskId) => aFailed({ taskId, detail: `of ${taskId}` }));
    for (const record of records) await store.record(record, aReceipt(record), undefined);
    for (const taskId of all) {
      const outcome = (await store.find(taskId))?.outcome;
      assert.equal(outcome?.status === 'failed' && outcome.detail, `of ${taskId}`);
    }
    await store.markPublished(records);
    assert.deepEqual(await ids(store), []);
  });

  behaviour('prune drops what is older than the age, with receipt and artifact', async (store) => {
    for (const [taskId, finishedAt] of [
      ['old', 1_000],
      ['edge', 2_000],
      ['young', 3_000],
    ] as const) {
      await recordPublished(store, aCompleted({ taskId, finishedAt }), '{}');
    }
    assert.equal(await store.prune(5_000, { maxAgeMs: 3_000, maxBytes: 1_000 }), 1);
    assert.equal(await store.find('old'), undefined);
    assert.equal(await store.receipt('old'), undefined);
    assert.equal(await store.artifact('art-old'), undefined);
    assert.ok(await store.find('edge'));
    assert.ok(await store.artifact('art-young'));
  });

  behaviour('prune drops an old attempt, and keeps a new note on its task', async (store) => {
    const attempt = aFailed({ taskId: 'patient', finishedAt: 1, final: false });
    await store.record(attempt, aReceipt(attempt), undefined);
    await store.noteCancelled('patient', 'superseded');
    assert.equal(await store.prune(5_000, { maxAgeMs: 3_000, maxBytes: 1_000 }), 1);
    assert.deepEqual(await store.pending('patient'), { cancelReason: 'superseded' });
  });

  behaviour('prune drops the oldest until the artifacts fit', async (store) => {
    for (let at = 1; at <= 5; at += 1) {
      await recordPublished(store, aCompleted({ taskId: `t${at}`, finishedAt: at }), 'x'.repeat(100));
    }
    assert.equal(await store.prune(10, { maxAgeMs: 1_000, maxBytes: 500 }), 0);
    assert.equal(await store.prune(10, { maxAgeMs: 1_000, maxBytes: 250 }), 3);
    assert.equal(await store.find('t3'), undefined);
    assert.ok(await store.find('t4'));
    assert.equal(await store.prune(10, { maxAgeMs: 1_000, maxBytes: 0 }), 2);
    assert.equal(await store.prune(10, { maxAgeMs: 1_000, maxBytes: 0 }), 0);
  });

  behaviour('prune leaves what is unpublished, however old and large', async (store) => {
    const kept = aCompleted({ taskId: 'kept', finishedAt: 1 });
    await store.record(kept, aReceipt(kept), anOutput('x'.repeat(1_000)));
    await recordPublished(store, aCompleted({ taskId: 'gone', finishedAt: 2 }), 'x'.repeat(10));
    assert.equal(await store.prune(1_000_000, { maxAgeMs: 1, maxBytes: 0 }), 1);
    assert.deepEqual(await store.find('kept'), kept);
    assert.deepEqual(await ids(store), ['kept']);
    assert.equal((await store.artifact('art-kept'))?.output.length, 1_000);
    await store.markPublished([kept]);
    assert.equal(await store.prune(1_000_000, { maxAgeMs: 1, maxBytes: 0 }), 1);
  });

  behaviour('a task that was executed again has the age of its last record', async (store) => {
    const first = aFailed({ taskId: 'twice', final: false, finishedAt: 1_000 });
    await store.record(first, aReceipt(first), undefined);
    await recordPublished(store, aCompleted({ taskId: 'twice', finishedAt: 9_000 }), '{}');
    assert.equal(await store.prune(10_000, { maxAgeMs: 5_000, maxBytes: 1_000 }), 0);
    assert.ok(await store.find('twice'));
    assert.equal(await store.prune(20_000, { maxAgeMs: 5_000, maxBytes: 1_000 }), 1);
  });

  behaviour('prune goes through many tasks and past unpublished ones', async (store) => {
    const records = Array.from({ length: 350 }, (_, at) => aCompleted({ taskId: `m${at}`, finishedAt: at }));
    await Promise.all(records.map((record) => store.record(record, aReceipt(record), anOutput('{}'))));
    await store.markPublished(records.slice(130, 340));
    assert.equal(await store.prune(10_000, { maxAgeMs: 1, maxBytes: 0 }), 210);
    assert.equal((await store.unpublished(1_000)).length, 140);
  });

  behaviour('a store that takes writes says so', async (store) => {
    const before = Date.now();
    const { ok, since, detail } = store.state();
    assert.ok(ok);
    assert.ok(since <= before && since > before - 60_000);
    assert.ok(detail.length > 0);
  });

  behaviour('close waits for what was called before, then every call is refused', async (store) => {
    const records = Array.from({ length: 50 }, (_, at) => aCompleted({ taskId: `c${at}`, finishedAt: at }));
    const recorded = Promise.all(
      records.map((record) => store.record(record, aReceipt(record), anOutput('{}'))),
    );
    const closed = Promise.all([store.close(), store.close()]);
    const record = aFailed({ taskId: 'late' });
    await assert.rejects(store.record(record, aReceipt(record), undefined), StoreUnavailable);
    await recorded;
    await closed;
    await assert.rejects(store.record(record, aReceipt(record), undefined), StoreUnavailable);
    await assert.rejects(store.find('c1'), StoreUnavailable);
    await assert.rejects(store.receipt('c1'), StoreUnavailable);
    await assert.rejects(store.artifact('art-c1'), StoreUnavailable);
    await assert.rejects(store.unpublished(1), StoreUnavailable);
    await assert.rejects(store.noteQueued('c1', 'hash'), StoreUnavailable);
    await assert.rejects(store.dropQueued('c1', 'hash'), StoreUnavailable);
    await assert.rejects(store.noteCancelled('c1', 'why'), StoreUnavailable);
    await assert.rejects(store.pending('c1'), StoreUnavailable);
    await assert.rejects(store.markPublished([{ taskId: 'c1', finishedAt: 1 }]), StoreUnavailable);
    await assert.rejects(store.prune(1, { maxAgeMs: 1, maxBytes: 1 }), StoreUnavailable);
    assert.equal(store.state().ok, false);
  });

  test.run();
}

/** A task that completed; its artifact is `art-{taskId}`. */
export function aCompleted(given: {
  taskId: string;
  finishedAt?: number;
  origin?: TaskOrigin | undefined;
}): TaskRecord {
  const { taskId, finishedAt = 1_700_000_000_000, origin } = given;
  return {
    taskId,
    requestHash: `sha256-${taskId}-${finishedAt}`,
    final: true,
    domain: 'documentation',
    finishedAt,
    outcome: {
      task_id: taskId,
      artifact_id: `art-${taskId}`,
      status: 'completed',
      tokens_used: 42,
      attempts: 1,
    },
    ...(origin !== undefined && { origin }),
  };
}

export function aFailed(given: {
  taskId: string;
  finishedAt?: number;
  final?: boolean;
  detail?: string;
  origin?: TaskOrigin | undefined;
}): TaskRecord {
  const { taskId, finishedAt = 1_700_000_000_000, final = true, detail = 'no answer', origin } = given;
  return {
    taskId,
    requestHash: `sha256-${taskId}-${finishedAt}`,
    final,
    domain: 'documentation',
    finishedAt,
    outcome: {
      task_id: taskId,
      status: 'failed',
      code: 'gateway_unavailable',
      detail,
      retryable: !final,
      tokens_used: 0,
    },
    ...(origin !== undefined && { origin }),
  };
}

export function aReceipt(record: TaskRecord): Receipt {
  return {
    task_id: record.taskId,
    request_hash: record.requestHash,
    accepted_at: new Date(record.finishedAt).toISOString(),
    finished_at: new Date(record.finishedAt).toISOString(),
    context: { status: 'none', tokens: 0, sources_used: [], sources_dropped: [] },
    attempts: [],
    tokens_used: record.outcome.tokens_used,
    notes: [],
    outcome: { status: record.outcome.status },
  };
}

export const anOutput = (json: string): Uint8Array => Buffer.from(json);

async function recordPublished(store: ArtifactStore, record: TaskRecord, output: string): Promise<void> {
  await store.record(record, aReceipt(record), anOutput(output));
  await store.markPublished([record]);
}

const ids = async (store: ArtifactStore): Promise<string[]> =>
  (await store.unpublished(1_000)).map(({ taskId }) => taskId);

const text = (output: Uint8Array | undefined): string => Buffer.from(output ?? []).toString();

const n = (record: TaskRecord): number => record.finishedAt;
