import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { suite } from 'uvu';
import { type PostgresServer, startPostgres } from '../../bench/servers/postgres.js';
import { openPostgresStore } from '../../server/store/postgres.js';
import type { DatabaseOptions } from '../../server/store/postgres-database.js';
import { schemaVersion } from '../../server/store/postgres-migrations.js';
import { type ArtifactStore, StoreUnavailable, type TaskRecord } from '../../server/store/store.js';
import { aCompleted, aFailed, anOutput, aReceipt, storeCases } from './store.cases.js';

/** One for the file; started by whatever comes first. */
let started: Promise<PostgresServer> | undefined;
let schemas = 0;
const atServer = (): Promise<PostgresServer> => {
  started ??= startPostgres();
  return started;
};

/** Options of a store that is empty. */
async function aDatabase(): Promise<DatabaseOptions & { readonly schema: string }> {
  schemas += 1;
  return { url: (await atServer()).url, schema: `case_${schemas}` };
}

storeCases('postgres', async () => {
  const store = await openPostgresStore(await aDatabase());
  return { store, cleanup: () => store.close() };
});

const test = suite('the PostgreSQL store');

test.after(async () => (await atServer()).close());

test('stores that open at once make one schema, and share it', async () => {
  const database = await aDatabase();
  const stores = await Promise.all(Array.from({ length: 4 }, () => openPostgresStore(database)));
  const [first, ...others] = stores as [ArtifactStore, ...ArtifactStore[]];
  const record = aCompleted({ taskId: 'shared' });
  await first.record(record, aReceipt(record), anOutput('{}'));
  for (const other of others) assert.deepEqual(await other.find('shared'), record);
  const versions = await ask(`select version from ${database.schema}.migrations order by version`);
  assert.deepEqual(
    versions.map(({ version }) => version),
    Array.from({ length: schemaVersion }, (_, at) => at + 1),
  );
  await Promise.all(stores.map((store) => store.close()));
});

test('a schema of a newer release is refused, and nothing in it changes', async () => {
  const database = await aDatabase();
  await (await openPostgresStore(database)).close();
  await ask(`insert into ${database.schema}.migrations (version) values (99)`);
  await assert.rejects(openPostgresStore(database), {
    name: 'SchemaMismatch',
    message: new RegExp(`${database.schema} has version 99, this release knows ${schemaVersion} at most`),
  });
  await ask(`delete from ${database.schema}.migrations where version = 99`);
  await (await openPostgresStore(database)).close();
});

test('an account without the right to make anything opens a schema that is there', async () => {
  const database = await aDatabase();
  await (await openPostgresStore(database)).close();
  await ask(`create role clerk login; grant usage on schema ${database.schema} to clerk;
    grant select, insert, update, delete on all tables in schema ${database.schema} to clerk`);
  const store = await openPostgresStore({ ...database, url: database.url.replace('postgres@', 'clerk@') });
  const record = aCompleted({ taskId: 'written' });
  await store.record(record, aReceipt(record), anOutput('{}'));
  assert.deepEqual(await store.find('written'), record);
  await store.close();
});

test('a server that is not there is refused as unavailable, without the password', async () => {
  const url = 'postgres://user:s3cret@127.0.0.1:1/none';
  await assert.rejects(openPostgresStore({ url }), (error) => {
    assert.ok(error instanceof StoreUnavailable);
    assert.match(error.message, /postgresql at 127.0.0.1:1\/none cannot be opened: .*ECONNREFUSED/);
    assert.ok(!error.message.includes('s3cret'));
    return true;
  });
});

test('an id that is not an id is refused, and is not found', async () => {
  await withStore({}, async (store) => {
    const bad = aFailed({ taskId: 'x\u0000' });
    await assert.rejects(store.record(bad, aReceipt(bad), undefined), TypeError);
    await assert.rejects(store.noteQueued('{}', 'hash'), TypeError);
    await assert.rejects(
      store.markPublished([aFailed({ taskId: 'good' }), aFailed({ taskId: 'not good' })]),
      TypeError,
    );
    assert.equal(await store.find('x\u0000'), undefined);
    assert.equal(await store.artifact('\ud800'), undefined);
    assert.equal(await store.pending('x'.repeat(5_000)), undefined);
    assert.ok(store.state().ok);
  });
});

test('a record is one statement', async () => {
  const database = await aDatabase();
  await ask('create role single login superuser');
  const url = database.url.replace('postgres@', 'single@');
  await withStore({ ...database, url, connections: 1 }, async (store) => {
    const record = aCompleted({ taskId: 'durable' });
    await store.record(record, aReceipt(record), anOutput('{}'));
    const [session] = await ask(`select state, query from pg_stat_activity where usename = 'single'`);
    assert.equal(session?.state, 'idle');
    assert.match(String(session?.query), /^\s*with kept as/);
  });
});

test('what was acknowledged before the server was killed is there, and all else threw', async () => {
  const server = await atServer();
  await withStore({ probeMs: 50 }, async (store) => {
    const records = Array.from({ length: 200 }, (_, at) => aCompleted({ taskId: `k${at}`, finishedAt: at }));
    // Some are one statement, some are sent in parts before.
    const outputOf = ({ finishedAt }: TaskRecord): Buffer =>
      Buffer.alloc(finishedAt % 4 === 0 ? 150_000 : 100, `{"content":"${finishedAt}"}`);
    let acknowledged = 0;
    let killed: Promise<void> | undefined;
    const ends = await Promise.allSettled(
      records.map(async (record) => {
        await store.record(record, aReceipt(record), outputOf(record));
        acknowledged += 1;
        if (acknowledged === 20) killed = server.kill();
      }),
    );
    await killed;
    assert.ok(acknowledged >= 20 && acknowledged < 200, `${acknowledged} of 200`);
    assert.equal(store.state().ok, false);
    await server.start();
    await waitFor(() => store.state().ok);
    const unpublished = new Set((await store.unpublished(1_000)).map(({ taskId }) => taskId));
    for (const [at, end] of ends.entries()) {
      const record = records[at] as TaskRecord;
      if (end.status === 'rejected') {
        assert.ok(end.reason instanceof StoreUnavailable, String(end.reason));
        continue;
      }
      assert.deepEqual(await store.find(record.taskId), record);
      const artifact = await store.artifact(`art-${record.taskId}`);
      assert.ok(outputOf(record).equals(artifact?.output ?? Buffer.alloc(0)), record.taskId);
      assert.ok(unpublished.has(record.taskId), record.taskId);
    }
  });
});

test('a server that is frozen is unavailable after a time, and is used again when it thaws', async () => {
  const server = await atServer();
  await withStore({ timeoutMs: 1_000, probeMs: 50 }, async (store) => {
    const record = aCompleted({ taskId: 'frozen' });
    await store.noteQueued('frozen', 'hash');
    server.freeze();
    try {
      await Promise.all(
        [
          store.record(record, aReceipt(record), anOutput('{}')),
          store.find('frozen'),
          store.markPublished([record]),
        ].map((call) => assert.rejects(call, StoreUnavailable)),
      );
      assert.equal(store.state().ok, false);
      await assert.rejects(store.find('frozen'), StoreUnavailable);
    } finally {
      server.thaw();
    }
    await waitFor(() => store.state().ok);
    await store.record(record, aReceipt(record), anOutput('{}'));
    assert.deepEqual(await store.find('frozen'), record);
  });
});

test('one backend that is frozen does not keep the others from being used', async () => {
  const database = await aDatabase();
  await ask('create role sleeper login superuser');
  const url = database.url.replace('postgres@', 'sleeper@');
  await withStore({ ...database, url, timeoutMs: 1_000, connections: 1 }, async (store) => {
    await store.find('x');
    const [backend] = await ask(`select pid from pg_stat_activity where usename = 'sleeper'`);
    process.kill(Number(backend?.pid), 'SIGSTOP');
    try {
      await assert.rejects(store.find('x'), StoreUnavailable);
      assert.equal(await store.find('x'), undefined);
    } finally {
      process.kill(Number(backend?.pid), 'SIGCONT');
    }
  });
});

test('a write that has to wait for a lock is given up in time, and nothing of it remains', async () => {
  const database = await aDatabase();
  await withStore({ ...database, timeoutMs: 1_000, probeMs: 50 }, async (store) => {
    const record = aCompleted({ taskId: 'waits' });
    const other = postgres(database.url, { max: 1 });
    await other.unsafe(`begin; lock table ${database.schema}.tasks in share mode`);
    await assert.rejects(store.record(record, aReceipt(record), anOutput('{}')), {
      name: 'StoreUnavailable',
      message: /statement timeout/,
    });
    await other.unsafe('rollback');
    await other.end();
    assert.equal(await store.find('waits'), undefined);
    await store.record(record, aReceipt(record), anOutput('{}'));
    assert.deepEqual(await store.find('waits'), record);
    await waitFor(() => store.state().ok);
  });
});

test('a server that is lost while nobody asks is noticed, and so is its return', async () => {
  const server = await atServer();
  await withStore({ probeMs: 20 }, async (store) => {
    const before = store.state();
    await server.stop();
    await waitFor(() => !store.state().ok);
    const lost = store.state();
    assert.ok(lost.since >= before.since);
    assert.match(lost.detail, /^postgresql at 127\.0\.0\.1:\d+\/postgres: ./);
    await assert.rejects(store.find('x'), StoreUnavailable);
    await server.start();
    await waitFor(() => store.state().ok);
    assert.ok(store.state().since >= lost.since);
    assert.equal(await store.find('x'), undefined);
  });
});

test('a server that only reads turns the state, until it writes again', async () => {
  await withStore({ probeMs: 20 }, async (store) => {
    const readOnly = async (on: boolean): Promise<void> => {
      await ask(`alter system set default_transaction_read_only = ${on}`);
      await ask('select pg_reload_conf()');
    };
    await readOnly(true);
    const record = aFailed({ taskId: 'refused' });
    await waitFor(() =>
      store.record(record, aReceipt(record), undefined).then(
        () => false,
        (error) => error instanceof StoreUnavailable && !store.state().ok,
      ),
    );
    await ask('alter system reset default_transaction_read_only');
    await ask('select pg_reload_conf()');
    await waitFor(() => store.state().ok);
  });
});

test('a proxy without a server behind it is not called without end', async () => {
  const { port } = new URL((await atServer()).url);
  let isUp = true;
  let calls = 0;
  const sockets = new Set<Socket>();
  const proxy = createServer((near) => {
    calls += 1;
    if (!isUp) {
      near.end();
      return;
    }
    const far = connect(Number(port), '127.0.0.1');
    for (const socket of [near, far]) sockets.add(socket.on('error', () => {}));
    near.on('close', () => far.destroy()).pipe(far);
    far.on('close', () => near.destroy()).pipe(near);
  });
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  const url = `postgres://postgres@127.0.0.1:${(proxy.address() as AddressInfo).port}/postgres`;
  await withStore({ url, timeoutMs: 1_000, probeMs: 50 }, async (store) => {
    isUp = false;
    for (const socket of sockets) socket.destroy();
    calls = 0;
    await waitFor(() => !store.state().ok);
    await Promise.all(Array.from({ length: 20 }, () => assert.rejects(store.find('x'), StoreUnavailable)));
    // Without a pause between two attempts it is some thousands.
    assert.ok(calls < 400, `${calls} calls`);
    isUp = true;
    await waitFor(() => store.state().ok);
    assert.equal(await store.find('x'), undefined);
  });
  proxy.close();
});

test('records of one task by several nodes at the same time: exactly one stands, as a whole', async () => {
  const database = await aDatabase();
  const stores = await Promise.all([1, 2, 3].map(() => openPostgresStore(database)));
  await Promise.all(
    stores.flatMap((store, node) =>
      Array.from({ length: 20 }, async (_, at) => {
        const record = aCompleted({ taskId: `race-${at}`, finishedAt: node + 1 });
        await store.noteCancelled(record.taskId, 'why');
        await store.record(record, aReceipt(record), anOutput(`{"n":${node + 1}}`));
      }),
    ),
  );
  const [store] = stores as [ArtifactStore];
  for (let at = 0; at < 20; at += 1) {
    const winner = await store.find(`race-${at}`);
    assert.ok(winner);
    assert.deepEqual(await store.receipt(`race-${at}`), aReceipt(winner));
    const { output } = (await store.artifact(`art-race-${at}`)) ?? {};
    assert.equal(Buffer.from(output ?? []).toString(), `{"n":${winner.finishedAt}}`);
    assert.equal(await store.pending(`race-${at}`), undefined);
  }
  assert.equal((await store.unpublished(100)).length, 20);
  await Promise.all(stores.map((one) => one.close()));
});

test('a large output is sent and read in parts, which keep no event loop for long', async () => {
  const database = await aDatabase();
  await withStore(database, async (store) => {
    const record = aCompleted({ taskId: 'large' });
    const output = Buffer.alloc(1_000_000, '{"content":"x"}');
    await store.record(record, aReceipt(record), output);
    assert.ok(output.equals((await store.artifact('art-large'))?.output ?? Buffer.alloc(0)));
    const [parts] = await ask(
      `select count(*)::int, max(octet_length(bytes)) as largest from ${database.schema}.outputs`,
    );
    assert.deepEqual(parts, { count: 16, largest: 65_536 });
  });
});

test('what was sent of outputs whose record never came, and of late rivals, is dropped in the end', async () => {
  const database = await aDatabase();
  const { schema } = database;
  await withStore(database, async (store) => {
    const [kept, late] = [1, 2].map((finishedAt) => aCompleted({ taskId: 'one', finishedAt }));
    assert.ok(kept && late);
    const output = Buffer.alloc(200_000, 'x');
    await store.record(kept, aReceipt(kept), output);
    await store.record(late, aReceipt(late), Buffer.alloc(200_000, 'y'));
    const parts = async (): Promise<unknown> =>
      (await ask(`select count(*)::int as parts from ${schema}.outputs`))[0]?.parts;
    assert.equal(await parts(), 7);
    await store.prune(2, { maxAgeMs: 1_000, maxBytes: 1_000_000 });
    assert.equal(await parts(), 7, 'it may be on its way still');
    await ask(`update ${schema}.uploads set begun_at = now() - interval '2 hours'`);
    await store.prune(2, { maxAgeMs: 1_000, maxBytes: 1_000_000 });
    assert.equal(await parts(), 4);
    assert.ok(output.equals((await store.artifact('art-one'))?.output ?? Buffer.alloc(0)));
  });
});

test('a failure that another node has opened again, and ended, is not opened a second time', async () => {
  const database = await aDatabase();
  const store = await openPostgresStore(database);
  const [first, second] = [1_000, 2_000].map((finishedAt) => aFailed({ taskId: 'lives', finishedAt }));
  await store.record(first!, aReceipt(first!), undefined);
  const other = postgres((await atServer()).url, { max: 1, connection: { search_path: database.schema } });
  let opened: Promise<boolean> | undefined;
  await other.begin(async (sql) => {
    await sql`update tasks set finished_at = 2000, record = ${JSON.stringify(second)}`;
    await sql`update unpublished set finished_at = 2000`;
    opened = store.reopen('lives');
    await waitFor(async () => (await ask(`select from pg_locks where not granted`)).length > 0);
  });
  await other.end();
  assert.equal(await opened, false);
  assert.deepEqual(await store.unpublished(10), [second]);
  await store.close();
});

test('a note that came while a failure was recorded does not count in the life after it', async () => {
  const database = await aDatabase();
  const store = await openPostgresStore(database);
  const record = aFailed({ taskId: 'late' });
  await store.record(record, aReceipt(record), undefined);
  await ask(
    `insert into ${database.schema}.notes (task_id, kind, text, noted_at) values ('late', 'cancelled', '"too late"', 1)`,
  );
  assert.equal(await store.reopen('late'), true);
  assert.equal(await store.pending('late'), undefined);
  await store.close();
});

test('nodes that prune at once drop each task once, and no more than one of them would', async () => {
  const database = await aDatabase();
  const stores = await Promise.all([1, 2, 3].map(() => openPostgresStore(database)));
  const [store] = stores as [ArtifactStore];
  const records = Array.from({ length: 400 }, (_, at) => aCompleted({ taskId: `p${at}`, finishedAt: at }));
  await Promise.all(records.map((record) => store.record(record, aReceipt(record), anOutput('{"n":1234}'))));
  await store.markPublished(records);
  const dropped = await Promise.all(
    stores.map((one) => one.prune(1_000, { maxAgeMs: 1_000, maxBytes: 1_000 })),
  );
  assert.equal(
    dropped.reduce((sum, count) => sum + count, 0),
    300,
  );
  assert.equal(await store.find('p299'), undefined);
  const [left] = await ask(`select count(*)::int as outputs from ${database.schema}.outputs`);
  assert.equal(left?.outputs, 100);
  assert.ok(await store.find('p300'));
  await Promise.all(stores.map((one) => one.close()));
});

test.run();

async function withStore(
  options: Partial<DatabaseOptions>,
  run: (store: ArtifactStore) => Promise<void>,
): Promise<void> {
  const store = await openPostgresStore({ ...(await aDatabase()), ...options });
  try {
    await run(store);
  } finally {
    await store.close();
  }
}

/** Runs statements as the owner of the server. */
async function ask(statements: string): Promise<readonly Record<string, unknown>[]> {
  const sql = postgres((await atServer()).url, { max: 1, onnotice: () => {} });
  try {
    return await sql.unsafe(statements);
  } finally {
    await sql.end();
  }
}

async function waitFor(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, 'waited for 60 s in vain');
    await sleep(5);
  }
}
