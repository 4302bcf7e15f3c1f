import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import { type PostgresServer, startPostgres } from '../../bench/servers/postgres.js';
import type { Leases } from '../../server/leases.js';
import { openPostgresStore } from '../../server/store/postgres.js';
import { openPostgresLeases, type PostgresLeasesOptions } from '../../server/store/postgres-leases.js';
import { StoreUnavailable } from '../../server/store/store.js';

const test = suite('leases in PostgreSQL');

let server: PostgresServer;
let schemas = 0;
test.before(async () => {
  server = await startPostgres();
});
test.after(() => server.close());

test('what one process holds, another one does not get', async () => {
  await withLeases([{}, {}], async (ours, theirs) => {
    assert.equal(await ours.isHeld('a'), false);
    assert.equal(await ours.claim('a', 'hash'), 'granted');
    assert.equal(await theirs.claim('a', 'hash'), 'held');
    assert.equal(await theirs.claim('a', 'another'), 'conflict');
    assert.equal(await theirs.claim('b', 'hash'), 'granted');
    assert.equal(await theirs.isHeld('a'), true);
    assert.equal(await theirs.isHeld('a', 'hash'), false);
    assert.equal(await theirs.isHeld('a', 'another'), true);
    assert.equal(await theirs.isHeld('c', 'another'), false);
  });
});

test('what a process holds it is granted again', async () => {
  await withLeases([{}], async (ours) => {
    assert.equal(await ours.claim('a', 'hash'), 'granted');
    assert.equal(await ours.claim('a', 'hash'), 'granted');
  });
});

test('what was given back is free, and may be given back again', async () => {
  await withLeases([{}, {}], async (ours, theirs) => {
    await ours.claim('a', 'hash');
    await Promise.all([ours.release('a'), ours.release('a')]);
    await ours.release('a');
    await ours.release('never claimed');
    assert.equal(await ours.isHeld('a'), false);
    assert.equal(await theirs.claim('a', 'another'), 'granted');
    await ours.release('a');
    assert.equal(await ours.claim('a', 'hash'), 'conflict');
  });
});

test('a claim right behind the release of the same task holds', async () => {
  await withLeases([{}, {}], async (ours, theirs) => {
    for (let at = 0; at < 20; at += 1) {
      await ours.claim('a', 'hash');
      const released = ours.release('a');
      assert.equal(await ours.claim('a', 'hash'), 'granted');
      await released;
      assert.equal(await theirs.claim('a', 'hash'), 'held');
    }
  });
});

test('of 100 claims at once exactly one is granted', async () => {
  const processes = Array.from({ length: 10 }, () => ({}));
  await withLeases(processes, async (...all) => {
    const claims = await Promise.all(
      Array.from({ length: 100 }, async (_, at) => {
        const leases = all[at % 10] as Leases;
        return { leases, claim: await leases.claim('a', 'hash') };
      }),
    );
    const winners = new Set(claims.filter(({ claim }) => claim === 'granted').map(({ leases }) => leases));
    assert.equal(winners.size, 1, 'one process, which is granted its own again');
    assert.equal(claims.filter(({ claim }) => claim === 'held').length, 90);
  });
});

test('a lease is renewed for as long as its process lives', async () => {
  await withLeases([{ leaseMs: 1_000, heartbeatMs: 50 }, {}], async (ours, theirs) => {
    await ours.claim('a', 'hash');
    const end = Date.now() + 2_500;
    while (Date.now() < end) {
      assert.equal(await theirs.claim('a', 'hash'), 'held');
      await sleep(50);
    }
  });
});

test('the leases of a process that died run out, and it does not get them back', async () => {
  const warnings: object[] = [];
  const log = {
    warn: (entry: object) => warnings.push(entry),
  } as unknown as PostgresLeasesOptions['log'] & {};
  const dead = { leaseMs: 200, heartbeatMs: 1_500, log };
  await withLeases([dead, {}], async (ours, theirs) => {
    await ours.claim('a', 'hash');
    await waitFor(async () => (await theirs.claim('a', 'hash')) === 'granted');
    assert.equal(await ours.claim('a', 'hash'), 'held');
    await waitFor(() => warnings.length > 0);
    assert.deepEqual(warnings, [{ event: 'lease_lost', task_id: 'a' }]);
    await ours.release('a');
    assert.equal(await theirs.isHeld('a'), true);
  });
});

test('a process hears once of each task that it holds and that another one asked to cancel', async () => {
  const schema = aSchema();
  const store = await openPostgresStore({ url: server.url, schema });
  await withLeases([{ schema, heartbeatMs: 20 }], async (ours) => {
    const heard: string[] = [];
    ours.onCancelRequested = (taskId) => heard.push(taskId);
    for (const taskId of ['a', 'b', 'c']) await ours.claim(taskId, 'hash');
    await store.noteCancelled('b', 'why');
    await store.noteCancelled('elsewhere', 'why');
    await waitFor(() => heard.length > 0);
    await store.noteCancelled('c', '');
    await waitFor(() => heard.length > 1);
    await sleep(200);
    assert.deepEqual(heard, ['b', 'c']);
  });
  await store.close();
});

test('a process keeps its leases over a restart of the server', async () => {
  await withLeases([{ leaseMs: 20_000, heartbeatMs: 50 }, {}], async (ours, theirs) => {
    await ours.claim('a', 'hash');
    await server.kill();
    await assert.rejects(theirs.claim('a', 'hash'), StoreUnavailable);
    await assert.rejects(theirs.isHeld('a'), StoreUnavailable);
    await server.start();
    await waitFor(async () => (await theirs.claim('a', 'hash').catch(() => 'unknown')) === 'held');
    assert.equal(await ours.claim('a', 'hash'), 'granted');
  });
});

test('to give back what cannot be given back is no error', async () => {
  await withLeases([{}], async (ours) => {
    await ours.claim('a', 'hash');
    await server.stop();
    await ours.release('a');
    await server.start();
  });
});

test('a process that closes gives back all that it holds', async () => {
  await withLeases([{}, {}], async (ours, theirs) => {
    await Promise.all(['a', 'b', 'c'].map((taskId) => ours.claim(taskId, 'hash')));
    await ours.close();
    for (const taskId of ['a', 'b', 'c']) assert.equal(await theirs.claim(taskId, 'another'), 'granted');
    await assert.rejects(ours.claim('d', 'hash'), StoreUnavailable);
  });
});

test.run();

function aSchema(): string {
  schemas += 1;
  return `case_${schemas}`;
}

/** Opens one process's leases for each of the options, all in one schema. */
async function withLeases(
  options: readonly Partial<PostgresLeasesOptions>[],
  run: (...leases: [Leases, Leases, ...Leases[]]) => Promise<void>,
): Promise<void> {
  const shared = { url: server.url, schema: aSchema() };
  const leases = await Promise.all(options.map((own) => openPostgresLeases({ ...shared, ...own })));
  try {
    await run(...(leases as [Leases, Leases]));
  } finally {
    await Promise.all(leases.map((each) => each.close()));
  }
}

async function waitFor(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, 'waited for 60 s in vain');
    await sleep(10);
  }
}
