import assert from 'node:assert/strict';
import postgres from 'postgres';
import { suite } from 'uvu';
import { startPostgres } from '../../bench/servers/postgres.js';

const test = suite('a PostgreSQL for tests');

test('it keeps what was committed when it is killed, and starts again under the same URL', async () => {
  const server = await startPostgres();
  const ask = async (statement: string): Promise<unknown[]> => {
    const sql = postgres(server.url, { max: 1 });
    try {
      return [...(await sql.unsafe(statement))];
    } finally {
      await sql.end();
    }
  };
  await ask('create table kept as select 7 as n');
  await server.kill();
  await assert.rejects(ask('select 1'), { code: 'ECONNREFUSED' });
  await server.start();
  assert.deepEqual(await ask('select n from kept'), [{ n: 7 }]);
  await server.stop();
  await server.start();
  assert.deepEqual(await ask('show fsync'), [{ fsync: 'on' }]);
  await server.close();
});

test.run();
